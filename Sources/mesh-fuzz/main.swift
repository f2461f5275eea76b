// libFuzzer over the core's events: scripts/fuzz mesh SECONDS.

import CFuzzer
import MeshFuzzer

private func oneInput(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    let bytes = unsafe [UInt8](UnsafeBufferPointer(start: data, count: size))
    if let broken = MeshFuzz.run(bytes) { fatalError(broken) }
    return 0
}

var count = CommandLine.argc
var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = unsafe CommandLine.unsafeArgv
_ = unsafe LLVMFuzzerRunDriver(&count, &arguments, oneInput)
