// Dialling by tasks. The place is the dial's until it has ended, and the socket's afterwards.

import CEpoll
public import PeerMesh

extension LoopExecutor {
    /// Opens a connection to `endpoint`, from the address `source` if one is given. Throws `CancellationError` at once when the task
    /// is cancelled, and then nothing of it is left; else `SystemError`. How long it may take is the kernel's to say: bound
    /// it by cancelling.
    public nonisolated(nonsending) func connect(
        to endpoint: Endpoint, from source: IPAddress? = nil, options: SocketOptions = SocketOptions()
    ) async throws -> AsyncSocket {
        requireThread()
        if Task.isCancelled { throw CancellationError() }
        switch Socket.dial(endpoint, from: source, options: options) {
        case .connected(let socket):
            return AsyncSocket(socket, remote: endpoint, on: self)
        case .failed(let error):
            throw SystemError(.connect, error)
        case .pending(let socket):
            let id = openPlace(socket.release(), isDialling: true)
            do {
                unsafe try register(state.places.pointer(Int(id.index)), id.index)
                try await finishDial(id)
            } catch {
                closePlace(id)
                throw error
            }
            return AsyncSocket(id, remote: endpoint, on: self)
        }
    }

    private nonisolated(nonsending) func finishDial(_ id: PlaceID) async throws {
        while true {
            await wait(id, .writing)
            if Task.isCancelled { throw CancellationError() }
            guard state.places.holds(id), !state.isEnding else { throw SystemError(.closedSocket, CEPOLL_ECANCELED) }
            guard state.places[Int(id.index)].isWritable else { continue }
            // Lent to a value that would close it, for one look.
            let socket = Socket(taking: state.places[Int(id.index)].descriptor)
            let result = socket.dialResult()
            _ = socket.release()
            switch result {
            case .connected: return
            case .pending: state.places[Int(id.index)].isWritable = false
            case .connectedToItself: throw SystemError(.connect, CEPOLL_EADDRNOTAVAIL)
            case .failed(let error): throw SystemError(.connect, error)
            }
        }
    }
}
