// What `--version` says.

import Daemon

enum Version {
    static let text = NodeDaemon.version
}
