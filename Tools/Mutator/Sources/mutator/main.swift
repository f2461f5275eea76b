// mutator SOURCE INTO: writes a copy of the core's package in which every guard and every comparison of the policies can be
// switched to its wrong form, one at a time, by a number in the environment; and the list of them, INTO/mutants.tsv.

import Foundation

let arguments = CommandLine.arguments.dropFirst()
guard arguments.count == 2 else {
    FileHandle.standardError.write(Data("usage: mutator SOURCE INTO\n".utf8))
    exit(2)
}

do {
    var trial = Trial(source: URL(filePath: arguments[1]), into: URL(filePath: arguments[2]))
    try trial.write()
    print("\(trial.points.count) points in \(trial.fileCount) files")
} catch {
    FileHandle.standardError.write(Data("mutator: \(error)\n".utf8))
    exit(1)
}
