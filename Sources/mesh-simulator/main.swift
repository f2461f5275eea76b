// The simulator by itself, without the daemon around it: builds in the core-only package.

import MeshSimulator

import Glibc

exit(SimulatorCommand.run(Array(CommandLine.arguments.dropFirst())))
