// The page for a browser: three files that are compiled into the program. It asks this node's API and nobody else.

/// The dashboard's answers.
enum Dashboard {
    static let page = Answer(type: Route.Content.html.rawValue, body: text(PackageResources.dashboard_html))
    static let style = Answer(type: Route.Content.css.rawValue, body: text(PackageResources.dashboard_css))
    static let script = Answer(type: Route.Content.javascript.rawValue, body: text(PackageResources.dashboard_js))

    private static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
}
