import Testing
@testable import PeerMesh
