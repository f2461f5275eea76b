// One client: its request is put together within bounds, answered, and its idleness ended. On the control thread only.

import NIOCore
import NIOHTTP1
import PeerMesh

/// The last handler of a client's channel.
final class ControlConnection: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private enum Phase {
        /// Between requests.
        case idle
        case head
        case body
        /// The answer is on its way to the kernel.
        case answering
        case following
        case closing
    }

    private let server: ControlServer
    private let headGuard: HeadGuard
    let door: ControlDoor
    /// The user at the other end of a Unix socket.
    private let user: UInt32?
    /// On the TCP port nobody changes anything.
    private var isReadOnly: Bool { door.kind == .tcp }
    private var phase = Phase.idle
    private var head: HTTPRequestHead?
    private var body: [UInt8] = []
    private var timer: Scheduled<Void>?
    private var context: ChannelHandlerContext?
    private var follower: Follower?
    private var hasAnswered = false
    /// When the last thing happened here, in the order of all connections.
    private(set) var lastActive: UInt64 = 0

    init(server: ControlServer, headGuard: HeadGuard, door: ControlDoor, user: UInt32?) {
        self.server = server
        self.headGuard = headGuard
        self.door = door
        self.user = user
        headGuard.began = { [unowned self] in begin() }
    }

    /// How long it may be waited for while others want its place.
    enum Patience {
        /// It waits for its client's request, or for its end.
        case none
        /// Its client has yet to read an answer.
        case little
        /// It follows events for as long as it likes.
        case endless
    }

    var patience: Patience {
        switch phase {
        case .idle, .head, .body, .closing: .none
        case .answering: .little
        case .following: .endless
        }
    }

    // MARK: The channel's life

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
    }

    func channelActive(context: ChannelHandlerContext) {
        lastActive = server.tick()
        server.admit(self)
        schedule(seconds: ControlSettings.headSeconds)
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        end()
        context.fireChannelInactive()
    }

    private func end() {
        timer?.cancel()
        timer = nil
        if let follower {
            server.hub.remove(follower)
            door.unfollow()
        }
        follower = nil
        server.forget(self)
    }

    /// Ends it now, for a newcomer's sake or at the end of all.
    func close() {
        phase = .closing
        context?.close(promise: nil)
    }

    private func schedule(seconds: Int64) {
        timer?.cancel()
        guard let context else { return }
        timer = context.eventLoop.assumeIsolated().scheduleTask(in: .seconds(seconds)) { [weak self] in self?.expire() }
    }

    private func expire() {
        switch phase {
        case .head, .body:
            refuse(Problem(408, "Request timeout", "the request did not end in time"))
        case .idle, .answering, .following, .closing: close()
        }
    }

    private func begin() {
        guard phase == .idle else { return }
        phase = .head
        lastActive = server.tick()
        schedule(seconds: ControlSettings.headSeconds)
    }

    // MARK: A request

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard phase != .closing, phase != .following else { return }
        switch unwrapInboundIn(data) {
        case .head(let head):
            headGuard.headEnded()
            self.head = head
            body = []
            hasAnswered = false
            phase = .body
            schedule(seconds: ControlSettings.idleSeconds)
            let length = head.headers.first(name: "content-length").flatMap { Int($0) } ?? 0
            if length > ControlSettings.bodyLimit { refuse(ControlConnection.tooLarge) }
            // Whoever asks before it sends waits for this word.
            else if head.headers.first(name: "expect")?.lowercased() == "100-continue" {
                context.writeAndFlush(wrapOutboundOut(.head(HTTPResponseHead(version: head.version, status: .continue))), promise: nil)
            }
        case .body(let part):
            guard body.count + part.readableBytes <= ControlSettings.bodyLimit else { return refuse(ControlConnection.tooLarge) }
            // The span that began with the head is the whole body's: one that trickles has no more time than one that stands still.
            body.append(contentsOf: part.readableBytesView)
        case .end:
            guard let head else { return }
            lastActive = server.tick()
            answer(head)
        }
    }

    private static let tooLarge = Problem(413, "Content too large", "a body has at most \(ControlSettings.bodyLimit) bytes")

    private func answer(_ head: HTTPRequestHead) {
        do throws(Problem) {
            try checkHost(head)
            let isHead = head.method == .HEAD
            let method = isHead ? "GET" : head.method.rawValue
            var request = try Request(method: method, target: head.uri, body: body)
            body = []
            guard !isReadOnly || !request.operation.route.isChange else {
                throw Problem(403, "Forbidden", "this port is for reading; changes go to the control socket")
            }
            request.user = user
            request.lastEvent = head.headers.first(name: "last-event-id").flatMap { UInt64($0) }
            if request.operation == .events, !isHead {
                let isMeant = try server.desk.filter(ofEvents: request)
                guard door.follow() else {
                    throw Problem.unavailable("\(door.followerPlaces) clients follow events here, which is the limit; end one, or try again")
                }
                return follow(isMeant, request, head)
            }
            send(request.operation == .events ? Answer(type: Route.Content.events.rawValue, body: "") : try server.desk.answer(request), head)
        } catch {
            var answer = error.answer
            if error.status == 405 { answer.allow = Request.methods(at: head.uri).joined(separator: ", ") }
            send(answer, head)
        }
    }

    /// HTTP/1.1 wants one Host. On the loopback port it must be an address of this machine or `localhost`: a web page whose own
    /// name was bound to a loopback address may not read.
    private func checkHost(_ head: HTTPRequestHead) throws(Problem) {
        let hosts = head.headers["host"]
        if hosts.count != 1, head.version != .http1_0 || hosts.count > 1 {
            throw Problem.badRequest("a request has one 'Host' header; this one has \(hosts.count)")
        }
        guard isReadOnly, let host = hosts.first else { return }
        guard HostName.isLoopback(host) else {
            throw Problem(403, "Forbidden", "this port answers to localhost, not to '\(host.prefix(64))'")
        }
    }

    private func send(_ answer: Answer, _ head: HTTPRequestHead) {
        guard let context else { return }
        phase = .answering
        hasAnswered = true
        var headers = HTTPHeaders([("content-type", answer.type), ("content-length", String(answer.body.utf8.count)), ("cache-control", "no-store")])
        // What a browser shows may come from this node alone.
        headers.add(name: "content-security-policy", value: "default-src 'self'; img-src data:; frame-ancestors 'none'")
        headers.add(name: "x-content-type-options", value: "nosniff")
        if let allow = answer.allow { headers.add(name: "allow", value: allow) }
        if !head.isKeepAlive { headers.add(name: "connection", value: "close") }
        context.write(wrapOutboundOut(.head(HTTPResponseHead(version: .http1_1, status: answer.status, headers: headers))), promise: nil)
        if head.method != .HEAD {
            context.write(wrapOutboundOut(.body(.byteBuffer(context.channel.allocator.buffer(string: answer.body)))), promise: nil)
        }
        schedule(seconds: ControlSettings.idleSeconds)
        let isLast = !head.isKeepAlive
        self.head = nil
        headGuard.nextHead()
        let sent = context.eventLoop.makePromise(of: Void.self)
        sent.futureResult.assumeIsolated().whenComplete { [weak self] result in
            guard let self else { return }
            if case .success = result, !isLast { self.rest() } else { self.close() }
        }
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: sent)
    }

    /// The answer is out; the next request may come.
    private func rest() {
        guard phase == .answering else { return }
        phase = .idle
        schedule(seconds: ControlSettings.idleSeconds)
    }

    /// Says what is wrong and closes: after this nobody knows where the next request would begin.
    private func refuse(_ problem: Problem) {
        guard let context, phase != .closing else { return close() }
        let isFollowing = phase == .following
        phase = .closing
        guard !hasAnswered || head == nil, !isFollowing else { return close() }
        let body = problem.json.page
        let status = HTTPResponseStatus(statusCode: Int(problem.status))
        headGuard.refuse(
            "HTTP/1.1 \(problem.status) \(status.reasonPhrase)\r\ncontent-type: application/problem+json\r\n"
                + "content-length: \(body.utf8.count)\r\nconnection: close\r\n\r\n\(body)")
        // A close while the client still sends would reset the connection, and the words be lost: it is given a moment to read.
        timer?.cancel()
        timer = context.eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(500)) { [weak self] in self?.close() }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        switch error {
        case is HeadGuard.TooLarge:
            refuse(Problem(431, "Request header fields too large", "a head has at most \(ControlSettings.headLimit) bytes"))
        case HTTPParserError.headerOverflow:
            refuse(Problem(431, "Request header fields too large", "a head has at most \(ControlSettings.headLimit) bytes and 256 fields"))
        case let error as HTTPParserError:
            refuse(Problem.badRequest("this is not HTTP/1.1: \(error)"))
        default: close()
        }
    }

    // MARK: Events

    private func follow(_ isMeant: @escaping (Endpoint) -> Bool, _ request: Request, _ head: HTTPRequestHead) {
        guard let context else { return }
        phase = .following
        timer?.cancel()
        var headers = HTTPHeaders([("content-type", Route.Content.events.rawValue), ("cache-control", "no-store")])
        if head.version == .http1_0 { headers.add(name: "connection", value: "close") }
        context.writeAndFlush(wrapOutboundOut(.head(HTTPResponseHead(version: .http1_1, status: .ok, headers: headers))), promise: nil)
        let follower = Follower(isMeant: isMeant) { [unowned self] buffer in
            self.context?.writeAndFlush(self.wrapOutboundOut(.body(.byteBuffer(buffer))), promise: nil)
        }
        self.follower = follower
        server.hub.add(follower, after: request.lastEvent)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if let follower {
            follower.isWritable = context.channel.isWritable
            if context.channel.isWritable {
                timer?.cancel()
                server.hub.resumed(follower)
            } else {
                schedule(seconds: ControlSettings.idleSeconds)
            }
        }
        context.fireChannelWritabilityChanged()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed? = event as? ChannelEvent, phase == .following { close() }
        context.fireUserInboundEventTriggered(event)
    }
}
