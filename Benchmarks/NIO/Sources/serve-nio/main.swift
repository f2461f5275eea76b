// SwiftNIO, as its users write it: one event loop thread, a channel a connection, one handler that cuts frames from an
// accumulated ByteBuffer and answers them with one write and flush a read. The idle timer is a scheduled task that looks at
// the last message when it fires (NIO's own IdleStateHandler does so), as cancelling a task there costs a search.
// Reading follows the channel's writability: a slow reader is slowed.

import Glibc
import NIOCore
import NIOPosix

enum Protocol {
    static let limit: UInt32 = 8 << 20
    static let helloLength: UInt32 = 32
    static let hello: UInt8 = 1
    static let ping: UInt8 = 2
    static let data: UInt8 = 3
    static let answer: UInt8 = 0x80

    static func allows(_ length: UInt32, kind: UInt8?, isGreeted: Bool) -> Bool {
        guard length > 0, length <= limit, isGreeted || length == helloLength else { return false }
        guard let kind else { return true }
        return isGreeted ? kind == ping || kind == data : kind == hello
    }
}

final class FrameHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let idle: TimeAmount
    private var pending: ByteBuffer?
    private var isGreeted = false
    private var lastMessage = NIODeadline.now()
    private var timer: Scheduled<Void>?
    private var wantsRead = false
    private var hasEnded = false

    init(idle: TimeAmount) {
        self.idle = idle
    }

    func channelActive(context: ChannelHandlerContext) {
        lastMessage = .now()
        watch(context, after: idle)
    }

    func channelInactive(context: ChannelHandlerContext) {
        timer?.cancel()
    }

    private func watch(_ context: ChannelHandlerContext, after delay: TimeAmount) {
        timer = context.eventLoop.assumeIsolated().scheduleTask(in: delay) {
            let left = self.lastMessage + self.idle - .now()
            if left <= .zero {
                context.close(promise: nil)
            } else {
                self.watch(context, after: left)
            }
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        if var pending {
            self.pending = nil
            pending.discardReadBytes()
            pending.writeBuffer(&bytes)
            bytes = pending
        }
        guard let done = answerFrames(&bytes) else {
            context.close(promise: nil)
            return
        }
        if done > 0, let answers = bytes.readSlice(length: done) {
            lastMessage = .now()
            context.write(wrapOutboundOut(answers), promise: nil)
        }
        if bytes.readableBytes > 0 { pending = bytes }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        context.flush()
    }

    /// Answers the whole frames in place. Returns their length in all; nil if one is broken.
    private func answerFrames(_ bytes: inout ByteBuffer) -> Int? {
        let start = bytes.readerIndex
        var done = 0
        while bytes.readableBytes - done >= 4, let length = bytes.getInteger(at: start + done, as: UInt32.self) {
            let kind: UInt8? = bytes.getInteger(at: start + done + 4)
            guard Protocol.allows(length, kind: kind, isGreeted: isGreeted) else { return nil }
            guard bytes.readableBytes - done >= 4 + Int(length), let kind else { break }
            bytes.setInteger(kind | Protocol.answer, at: start + done + 4)
            isGreeted = true
            done += 4 + Int(length)
        }
        return done
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        guard context.channel.isWritable else { return }
        if hasEnded {
            context.close(promise: nil)
        } else if wantsRead {
            wantsRead = false
            context.read()
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .some(.inputClosed) = event as? ChannelEvent else {
            context.fireUserInboundEventTriggered(event)
            return
        }
        hasEnded = true
        // What is queued goes out first.
        context.writeAndFlush(wrapOutboundOut(ByteBuffer())).assumeIsolated().whenComplete { _ in context.close(promise: nil) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}

extension FrameHandler: ChannelOutboundHandler {
    typealias OutboundIn = ByteBuffer

    func read(context: ChannelHandlerContext) {
        if context.channel.isWritable {
            context.read()
        } else {
            wantsRead = true
        }
    }
}

guard (2...3).contains(CommandLine.arguments.count), let port = Int(CommandLine.arguments[1]),
    let idle = CommandLine.arguments.count == 3 ? Int64(CommandLine.arguments[2]) : 120_000
else {
    print("usage: serve-nio PORT [IDLE_MILLISECONDS]")
    exit(64)
}
var limit = rlimit()
getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
limit.rlim_cur = limit.rlim_max
setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)

let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
let listener = try ServerBootstrap(group: group)
    .serverChannelOption(.backlog, value: 1_024)
    .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
    .serverChannelOption(.maxMessagesPerRead, value: 64)
    .childChannelOption(.socketOption(.tcp_nodelay), value: 1)
    .childChannelOption(.allowRemoteHalfClosure, value: true)
    .childChannelOption(.writeBufferWaterMark, value: .init(low: 64 << 10, high: 256 << 10))
    .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(FrameHandler(idle: .milliseconds(idle)))
        }
    }
    .bind(host: "127.0.0.1", port: port)
    .wait()
print("ready \(getpid())")
fflush(nil)
try listener.closeFuture.wait()
