// Every timing and limit as an option. Names, ranges, defaults and words come from the table in `Daemon.Setting`; this file
// only lends them to the parser. A test holds that no entry of the table is missing here.

import ArgumentParser
import Daemon
import PeerMesh

extension Option {
    /// An option for one entry of the settings table.
    init(setting name: String) where Value == Setting.Choice? {
        let setting = Setting.named(name)
        let fallback = setting.text(in: MeshSettings(nonce: 0, seed: 0))
        self.init(
            name: .customLong(name),
            help: ArgumentHelp("\(setting.summary) (default: \(fallback))", valueName: setting.isSpan ? "span" : "n"),
            transform: { try setting.read($0) }
        )
    }
}

struct SlotOptions: ParsableArguments {
    @Option(setting: "max-peers") var maxPeers
    @Option(
        name: .customLong("reserve"),
        help: ArgumentHelp("Slots that only masternodes take (default: 40 % of max-peers, 20 to 30)", valueName: "n"),
        transform: { text in
            guard let count = UInt32(text), count <= 100_000 else {
                throw OptionError(value: text, accepted: "a whole number from 0 to 100000")
            }
            return count
        }
    ) var reserve: UInt32?
    @Option(setting: "pending-limit") var pendingLimit
    @Option(setting: "pending-per-address") var pendingPerAddress
    @Option(setting: "pending-per-subnet") var pendingPerSubnet
    @Option(setting: "draining-limit") var drainingLimit
    @Option(setting: "book-capacity") var bookCapacity
    @Option(setting: "ban-capacity") var banCapacity

    var choices: [Setting.Choice?] {
        [maxPeers, pendingLimit, pendingPerAddress, pendingPerSubnet, drainingLimit, bookCapacity, banCapacity]
    }
}

struct DialOptions: ParsableArguments {
    @Option(setting: "dial-limit") var dialLimit
    @Option(setting: "dial-rate") var dialRate
    @Option(setting: "dial-burst") var dialBurst
    @Option(setting: "dial-timeout") var dialTimeout
    @Option(setting: "greeting-timeout") var greetingTimeout
    @Option(setting: "probe-timeout") var probeTimeout
    @Option(setting: "drain-timeout") var drainTimeout
    @Option(setting: "frame-timeout") var frameTimeout
    @Option(setting: "frame-minimum-rate") var frameMinimumRate

    var choices: [Setting.Choice?] {
        [
            dialLimit, dialRate, dialBurst, dialTimeout, greetingTimeout, probeTimeout, drainTimeout, frameTimeout,
            frameMinimumRate,
        ]
    }
}

struct KeepaliveOptions: ParsableArguments {
    @Option(setting: "ping-interval") var pingInterval
    @Option(setting: "pong-timeout") var pongTimeout
    @Option(setting: "regular-misses") var regularMisses
    @Option(setting: "masternode-misses") var masternodeMisses
    @Option(setting: "progress-bytes") var progressBytes
    @Option(setting: "progress-grace") var progressGrace

    var choices: [Setting.Choice?] {
        [pingInterval, pongTimeout, regularMisses, masternodeMisses, progressBytes, progressGrace]
    }
}

struct ScheduleOptions: ParsableArguments {
    @Option(setting: "backoff-initial") var backoffInitial
    @Option(setting: "backoff-max") var backoffMax
    @Option(setting: "jitter-percent") var jitterPercent
    @Option(setting: "stable-after") var stableAfter
    @Option(setting: "passive-wait") var passiveWait
    @Option(setting: "masternode-failures") var masternodeFailures
    @Option(setting: "regular-failures") var regularFailures
    @Option(setting: "life-window") var lifeWindow
    @Option(setting: "tombstone-time") var tombstoneTime
    @Option(setting: "book-floor") var bookFloor
    @Option(setting: "demotion-delay") var demotionDelay
    @Option(setting: "self-memory") var selfMemory
    @Option(setting: "verify-interval") var verifyInterval
    @Option(setting: "ban-score") var banScore
    @Option(setting: "ban-time") var banTime
    @Option(setting: "discovery-interval") var discoveryInterval
    @Option(setting: "share-limit") var shareLimit
    @Option(setting: "intake-burst") var intakeBurst
    @Option(setting: "intake-period") var intakePeriod

    var choices: [Setting.Choice?] {
        [
            backoffInitial, backoffMax, jitterPercent, stableAfter, passiveWait, masternodeFailures, regularFailures,
            lifeWindow, tombstoneTime, bookFloor, demotionDelay, selfMemory, verifyInterval, banScore, banTime,
            discoveryInterval, shareLimit, intakeBurst, intakePeriod,
        ]
    }
}
