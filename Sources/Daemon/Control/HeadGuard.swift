// Bounds a request's head before the parser sees it: so many bytes, and no more, whatever they are.

import NIOCore

/// Counts the bytes of each head. The connection tells when a head is over and when the next may begin.
final class HeadGuard: ChannelInboundHandler {
    typealias OutboundOut = ByteBuffer
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    struct TooLarge: Error {}

    private let limit: Int
    private var count = 0
    private var isHead = true
    private var isOver = false
    /// The first byte of a head came.
    var began: () -> Void = {}

    private var context: ChannelHandlerContext?

    init(limit: Int) {
        self.limit = limit
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
    }

    /// Sends bytes past the HTTP handlers: the answer to what was no request, of which those handlers know nothing. From now on
    /// what the client sends is read and dropped.
    func refuse(_ text: String) {
        isOver = true
        context?.writeAndFlush(wrapOutboundOut(ByteBuffer(string: text)), promise: nil)
    }

    func headEnded() {
        isHead = false
    }

    func nextHead() {
        isHead = true
        count = 0
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isOver else { return }
        var buffer = unwrapInboundIn(data)
        guard isHead else { return context.fireChannelRead(data) }
        if count == 0, buffer.readableBytes > 0 { began() }
        // What the head may still have goes first: only if it does not end there is it too large.
        let room = max(limit - count, 0)
        if buffer.readableBytes > room {
            if room > 0, let first = buffer.readSlice(length: room) {
                count += room
                context.fireChannelRead(wrapInboundOut(first))
            }
            guard !isHead else {
                isOver = true
                context.fireErrorCaught(TooLarge())
                return
            }
        } else {
            count += buffer.readableBytes
        }
        context.fireChannelRead(wrapInboundOut(buffer))
    }
}
