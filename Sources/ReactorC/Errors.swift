// Errors as numbers, and numbers as words. Options and texts that come from C are checked here, and nowhere believed.

import CReactor
import PeerMesh
import Reactor

extension SystemError {
    /// As C is told of it.
    var negated: CInt { -code }
}

extension SendResult {
    var code: CInt {
        switch self {
        case .queued: 0
        case .wouldBlock: REACTOR_EBLOCKED
        case .tooLarge: REACTOR_ETOOLARGE
        case .notLinked: REACTOR_ENOLINK
        }
    }
}

extension PostResult {
    var code: CInt {
        switch self {
        case .posted: 0
        case .full: REACTOR_EFULL
        case .closed: REACTOR_ECLOSED
        }
    }
}

/// The words for one of our own errors; nil for the system's.
private func ownText(_ error: CInt) -> StaticString? {
    switch error {
    case REACTOR_EENDPOINT: "not an endpoint: ADDRESS:PORT or [V6ADDRESS]:PORT is accepted"
    case REACTOR_ESUBNET: "not a range of addresses: ADDRESS or ADDRESS/PREFIX is accepted"
    case REACTOR_ENETWORK: "no such network: reactor, time-mainnet, time-testnet, or a name of your own with its magic"
    case REACTOR_EOPTION: "an option is out of its range: reactor.h has the ranges"
    case REACTOR_EFULL: "the loop's mailbox is full: try again later"
    case REACTOR_ECLOSED: "the loop or the node has ended"
    case REACTOR_EBLOCKED: "the link's queue is above its mark: go on after low_water"
    case REACTOR_ETOOLARGE: "the body is larger than the dialect or the node's memory allows"
    case REACTOR_ENOLINK: "the link is not established"
    default: nil
    }
}

@c @implementation
public func reactor_error_text(_ error: CInt, _ buffer: UnsafeMutablePointer<CChar>, _ size: Int) -> UnsafeMutablePointer<CChar> {
    if let own = ownText(error) {
        unsafe copy(own.withUTF8Buffer { unsafe String(decoding: $0, as: UTF8.self) }, to: buffer, size)
    } else {
        unsafe copy(error == 0 ? "success" : SystemError.text(of: error == .min ? .max : abs(error)), to: buffer, size)
    }
    return unsafe buffer
}

@c @implementation
public func reactor_version() -> UnsafePointer<CChar> {
    let version: StaticString = "0.2"
    return unsafe UnsafeRawPointer(version.utf8Start).assumingMemoryBound(to: CChar.self)
}

/// Writes `text` into `buffer`, cut to `size` and ended by a zero byte.
func copy(_ text: String, to buffer: UnsafeMutablePointer<CChar>, _ size: Int) {
    guard size > 0 else { return }
    var end = 0
    for byte in text.utf8.prefix(size - 1) {
        unsafe buffer[end] = CChar(bitPattern: byte)
        end += 1
    }
    unsafe buffer[end] = 0
}

/// The endpoint that a text names; nil if it is none that can be dialled or listened on.
func endpoint(_ text: UnsafePointer<CChar>) -> Endpoint? {
    unsafe Endpoint(String(cString: text))
}
