// What `--version` says. Kept in step with CHANGELOG.md.

enum Version {
    static let text = "reactor-node 0.1.0"
}
