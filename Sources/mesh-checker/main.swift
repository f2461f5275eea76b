// The model checker by itself, without the daemon around it: builds in the core-only package.
// mesh-checker [--limit STATES] [--nodes 2|3] [--name PART]

import Glibc
import MeshChecker

var limit = 50_000_000
var nodes: Int?
var name = ""
var words = CommandLine.arguments.dropFirst()
while let word = words.popFirst() {
    guard let value = words.popFirst() else { exit(2) }
    switch (word, Int(value)) {
    case ("--limit", let number?) where number > 0: limit = number
    case ("--nodes", let number?): nodes = number
    case ("--name", _): name = value
    default: exit(2)
    }
}
exit(CheckCommand.run(limit: limit) { (nodes == nil || $0.nodes == nodes) && (name.isEmpty || $0.name.contains(name)) })
