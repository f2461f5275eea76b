// The model checker's command line: `mesh-checker [limit]`.

import MeshChecker

#if canImport(Glibc)
    import Glibc
#endif

exit(CheckCommand.run(limit: CommandLine.arguments.dropFirst().first.flatMap { Int($0) } ?? 50_000_000))
