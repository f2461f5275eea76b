// The page for a browser: files that are compiled into the program. It asks this node's API and nobody else.

/// The dashboard's answers.
enum Dashboard {
    static let page = Answer(type: Route.Content.html.rawValue, body: text(PackageResources.dashboard_html))
    static let style = Answer(type: Route.Content.css.rawValue, body: text(PackageResources.dashboard_css))
    /// A room for each concern; the first has what all use, the last begins.
    static let script = Answer(
        type: Route.Content.javascript.rawValue,
        body: [
            PackageResources.dashboard_js, PackageResources.table_js, PackageResources.mesh_js, PackageResources.charts_js, PackageResources.why_js,
            PackageResources.live_js,
        ].map(text).joined(separator: "\n"))

    private static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
}
