// The model checker by itself, without the daemon around it: builds in the core-only package.
// mesh-checker [--limit STATES] [--space two|three|three-regular|asynchronous] [--name CONFIGURATION]

import Glibc
import MeshChecker

var limit = 50_000_000
var space = CheckSpace.two
var name = ""
var words = CommandLine.arguments.dropFirst()
while let word = words.popFirst() {
    guard let value = words.popFirst() else { exit(2) }
    switch (word, Int(value), CheckSpace(rawValue: value)) {
    case ("--limit", let number?, _) where number > 0: limit = number
    case ("--space", _, let chosen?): space = chosen
    case ("--name", _, _): name = value
    default: exit(2)
    }
}
exit(CheckCommand.run([space], limit: limit, name: name))
