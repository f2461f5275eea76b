// Where operators reach the node, and when its health is degraded.

import ArgumentParser

struct ControlOptions: SettingOptions {
    @Option("control-socket") var controlSocket: String?
    @Option("control-tcp") var controlTcp: String?
    @Option("health-links") var healthLinks: String?
    @Option("health-masternodes") var healthMasternodes: String?
    @Option("health-inbound") var healthInbound: String?
    @Option("health-outbound") var healthOutbound: String?
    @Option("health-descriptors") var healthDescriptors: String?
    @Option("health-lag") var healthLag: String?
}
