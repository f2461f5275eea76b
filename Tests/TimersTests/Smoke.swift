import Testing
@testable import Timers
