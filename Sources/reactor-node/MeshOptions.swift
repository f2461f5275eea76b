// Every timing and limit as an option. A test holds that no entry of the table is missing here.

import ArgumentParser
import Daemon

struct SlotOptions: SettingOptions {
    @Option("max-peers") var maxPeers: String?
    @Option("reserve") var reserve: String?
    @Option("outbound-slots") var outboundSlots: String?
    @Option("regular-per-address") var regularPerAddress: String?
    @Option("regular-per-subnet") var regularPerSubnet: String?
    @Option("pending-limit") var pendingLimit: String?
    @Option("pending-per-address") var pendingPerAddress: String?
    @Option("pending-per-subnet") var pendingPerSubnet: String?
    @Option("draining-limit") var drainingLimit: String?
    @Option("book-capacity") var bookCapacity: String?
    @Option("ban-capacity") var banCapacity: String?
}

struct MemoryOptions: SettingOptions {
    @Option("memory-limit") var memoryLimit: String?
    @Option("memory-reserve") var memoryReserve: String?
    @Option("memory-per-stranger") var memoryPerStranger: String?
}

struct DialOptions: SettingOptions {
    @Option("dial-limit") var dialLimit: String?
    @Option("dial-rate") var dialRate: String?
    @Option("dial-burst") var dialBurst: String?
    @Option("dial-timeout") var dialTimeout: String?
    @Option("greeting-timeout") var greetingTimeout: String?
    @Option("probe-timeout") var probeTimeout: String?
    @Option("drain-timeout") var drainTimeout: String?
    @Option("frame-timeout") var frameTimeout: String?
    @Option("frame-minimum-rate") var frameMinimumRate: String?
    @Option("frame-limit") var frameLimit: String?
}

struct KeepaliveOptions: SettingOptions {
    @Option("ping-interval") var pingInterval: String?
    @Option("pong-timeout") var pongTimeout: String?
    @Option("regular-misses") var regularMisses: String?
    @Option("masternode-misses") var masternodeMisses: String?
    @Option("progress-bytes") var progressBytes: String?
    @Option("progress-grace") var progressGrace: String?
}

struct ScheduleOptions: SettingOptions {
    @Option("backoff-initial") var backoffInitial: String?
    @Option("backoff-max") var backoffMax: String?
    @Option("jitter-percent") var jitterPercent: String?
    @Option("stable-after") var stableAfter: String?
    @Option("passive-wait") var passiveWait: String?
    @Option("masternode-failures") var masternodeFailures: String?
    @Option("regular-failures") var regularFailures: String?
    @Option("life-window") var lifeWindow: String?
    @Option("tombstone-time") var tombstoneTime: String?
    @Option("book-floor") var bookFloor: String?
    @Option("demotion-delay") var demotionDelay: String?
    @Option("self-memory") var selfMemory: String?
    @Option("verify-interval") var verifyInterval: String?
    @Option("ban-score") var banScore: String?
    @Option("ban-time") var banTime: String?
    @Option("discovery-interval") var discoveryInterval: String?
    @Option("feeler-interval") var feelerInterval: String?
    @Option("target-period") var targetPeriod: String?
    @Option("share-limit") var shareLimit: String?
    @Option("intake-burst") var intakeBurst: String?
    @Option("intake-period") var intakePeriod: String?
}
