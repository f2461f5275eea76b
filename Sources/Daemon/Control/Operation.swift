// Everything that the API can do, as one table: the router, the OpenAPI page and the tests read it, so that they agree.

/// One thing that a client may ask for.
enum Operation: String, Hashable, Sendable, CaseIterable {
    case index, openapi, dashboard, dashboardStyle, dashboardScript, status, peers, peer, why, masternodes, slots, bans, loop, metrics, live, ready, events
    case connect, disconnect, redial, ban, unban, trust, untrust, addMasternode, removeMasternode, drain, reload, logLevel
}

/// A value that a request carries: in its path, its query, or its body.
struct Parameter: Sendable {
    enum Kind: Sendable, Equatable {
        /// `address:port` or `name:port`; the port may be left out where it is clear.
        case peer
        /// An address or a range in CIDR form, or the name of a peer, which stands for its address.
        case subject
        /// `500ms`, `5s`, `2m`, `1h`.
        case span
        case count
        case flag
        case text
        case choice([String])
    }

    enum Place: String, Sendable { case path, query, body }

    let name: String
    let kind: Kind
    let place: Place
    let isRequired: Bool
    let text: String

    init(_ name: String, _ kind: Kind, _ place: Place, required: Bool = false, _ text: String) {
        self.name = name
        self.kind = kind
        self.place = place
        isRequired = required
        self.text = text
    }
}

/// How an operation is asked for, and what it gives.
struct Route: Sendable {
    enum Method: String, Sendable { case get = "GET", post = "POST", delete = "DELETE" }
    enum Content: String, Sendable {
        case json = "application/json"
        case metrics = "text/plain; version=0.0.4; charset=utf-8"
        case events = "text/event-stream"
        case yaml = "application/yaml"
        case html = "text/html; charset=utf-8"
        case css = "text/css; charset=utf-8"
        case javascript = "text/javascript; charset=utf-8"
    }

    let method: Method
    /// `{name}` stands for a parameter.
    let path: String
    let summary: String
    let parameters: [Parameter]
    let content: Content

    init(_ method: Method, _ path: String, _ summary: String, _ parameters: [Parameter] = [], _ content: Content = .json) {
        self.method = method
        self.path = path
        self.summary = summary
        self.parameters = parameters
        self.content = content
    }

    var segments: [Substring] { path.split(separator: "/") }
    /// Whether it changes the node: refused where one may only read.
    var isChange: Bool { method != .get }
}

extension Operation {
    private static let peerPath = Parameter("id", .peer, .path, required: true, "The peer's address and port, or its name, as `GET /peers` has it")
    private static let peerBody = Parameter("peer", .peer, .body, required: true, "The peer's address and port, or its host name and port")
    private static let subject = Parameter("subject", .subject, .body, required: true, "An address, a range such as 192.0.2.0/24, or the host name of a peer of this node")
    private static let wide = Parameter("wide", .flag, .body, "Needed for a range wider than /8 (IPv4) or /16 (IPv6)")
    private static let thresholds = [
        Parameter("min-links", .count, .query, "Established links, at least"),
        Parameter("min-masternodes", .count, .query, "… of them with masternodes"),
        Parameter("min-inbound", .count, .query, "… of them dialled by others"),
        Parameter("min-outbound", .count, .query, "… of them dialled by this node"),
        Parameter("max-loop-lag", .span, .query, "How long the loop may take to answer"),
        Parameter("min-descriptors", .count, .query, "Descriptors that are still free, at least"),
        Parameter("max-masternode-gap", .span, .query, "How long a masternode may be without a link"),
    ]

    var route: Route {
        switch self {
        case .index: Route(.get, "/", "What this API can do")
        case .openapi: Route(.get, "/openapi.yaml", "This page", [], .yaml)
        case .dashboard: Route(.get, "/dashboard", "The node as a page for a browser", [], .html)
        case .dashboardStyle: Route(.get, "/dashboard.css", "The page's style", [], .css)
        case .dashboardScript: Route(.get, "/dashboard.js", "The page's script", [], .javascript)
        case .status: Route(.get, "/status", "The node in one object: who it is, how it is reached, how many links it holds")
        case .peers:
            Route(
                .get, "/peers", "Every peer of the book, and every link that is nobody's yet",
                [
                    Parameter("state", .choice(PeerRow.stateNames), .query, "Only peers in this state"),
                    Parameter("class", .choice(["masternode", "regular"]), .query, "Only peers of this class"),
                    Parameter("direction", .choice(["inbound", "outbound"]), .query, "Only linked peers, by who dialled"),
                    Parameter("wanted", .flag, .query, "Only peers that somebody wants"),
                    Parameter("peer", .peer, .query, "Only this peer: its address and port, or its name, whose every address counts"),
                ])
        case .peer: Route(.get, "/peers/{id}", "One peer", [Self.peerPath])
        case .why: Route(.get, "/peers/{id}/why", "Why this peer is linked, or why it is not; what happens next, and when", [Self.peerPath])
        case .masternodes: Route(.get, "/masternodes", "The masternodes that the registry names")
        case .slots: Route(.get, "/slots", "How many slots there are, for whom, and how many are taken")
        case .bans: Route(.get, "/bans", "Bans and trust in force")
        case .loop: Route(.get, "/loop", "What the loop counted, and how fast it answers")
        case .metrics: Route(.get, "/metrics", "Metrics for Prometheus", [], .metrics)
        case .live: Route(.get, "/health/live", "Whether the loop answers; 503 if not", [Self.thresholds[4]])
        case .ready: Route(.get, "/health/ready", "Whether every threshold is met; 503 if not", Self.thresholds)
        case .events:
            Route(
                .get, "/events", "Every transition from now on, as server-sent events",
                [Parameter("peer", .peer, .query, "Only of this peer: its address and port, or its name, whose every address counts")], .events)
        case .connect: Route(.post, "/connect", "Keep a link to this peer, for ever", [Self.peerBody])
        case .disconnect: Route(.post, "/disconnect", "Close its links and want it no longer", [Self.peerBody])
        case .redial:
            Route(
                .post, "/redial", "Dial now: forget failures and waits, of one peer or of all",
                [
                    Parameter("peer", .peer, .body, "The peer's address and port, or its name"),
                    Parameter("all", .flag, .body, "Every peer that waits"),
                ])
        case .ban:
            Route(
                .post, "/ban", "Ban an address or a range, and close its links",
                [
                    Self.subject, Parameter("for", .span, .body, "For how long; for ever if it is left out"),
                    Parameter("reason", .text, .body, "Why, for those who read it later"),
                    Parameter("by", .text, .body, "Who bans; the client's user if it is left out"), Self.wide,
                ])
        case .unban: Route(.post, "/unban", "Lift every ban of exactly this address or range", [Self.subject])
        case .trust: Route(.post, "/trust", "Trust an address or a range: no automatic ban holds there", [Self.subject, Self.wide])
        case .untrust: Route(.post, "/untrust", "Trust it no longer", [Self.subject])
        case .addMasternode: Route(.post, "/masternodes", "Keep a masternode's link, beside those of the registry", [Self.peerBody])
        case .removeMasternode: Route(.delete, "/masternodes/{id}", "Take back a masternode that was added", [Self.peerPath])
        case .drain: Route(.post, "/drain", "End the node in order: drain every link, then stop")
        case .reload: Route(.post, "/reload", "Read settings and registry again")
        case .logLevel:
            Route(
                .post, "/log-level", "How much is logged, until the next start",
                [Parameter("level", .choice(LogLevel.allCases.map(\.name)), .body, required: true, "The lowest level that is written")])
        }
    }
}
