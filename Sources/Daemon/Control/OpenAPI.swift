// The API's description, written from the table of operations: docs/openapi.yaml is this text, and a test holds them together.

/// The OpenAPI 3.1 page.
enum OpenAPI {
    static var page: String {
        var text = """
            openapi: 3.1.0
            info:
              title: reactor-node control API
              version: "1"
              summary: Who is linked, why somebody is not, and what an operator may change while the node runs.
              license: {name: Apache-2.0, identifier: Apache-2.0}
            servers:
              - url: http://localhost
                description: |
                  A Unix socket, 0600, for everything (`curl --unix-socket PATH http://localhost/peers`), and with
                  `--control-tcp` a loopback port for every GET.
            paths:

            """
        var paths: [String] = []
        for operation in Operation.allCases where !paths.contains(operation.route.path) { paths.append(operation.route.path) }
        for path in paths {
            text += "  \(path):\n"
            for operation in Operation.allCases where operation.route.path == path { text += describe(operation) }
        }
        return text + components
    }

    private static func describe(_ operation: Operation) -> String {
        let route = operation.route
        var text = "    \(route.method.rawValue.lowercased()):\n      operationId: \(operation.rawValue)\n"
        text += "      summary: \(quote(route.summary))\n"
        let parameters = route.parameters.filter { $0.place != .body }
        if !parameters.isEmpty {
            text += "      parameters:\n"
            for parameter in parameters {
                text += "        - name: \(parameter.name)\n          in: \(parameter.place.rawValue)\n"
                text += "          required: \(parameter.isRequired)\n          description: \(quote(parameter.text))\n"
                text += "          schema: \(schema(parameter.kind))\n"
            }
        }
        let members = route.parameters.filter { $0.place == .body }
        if !members.isEmpty { text += body(members) }
        return text + responses(operation)
    }

    private static func body(_ members: [Parameter]) -> String {
        let required = members.filter(\.isRequired).map(\.name)
        var text = "      requestBody:\n        required: \(!required.isEmpty)\n        content:\n          application/json:\n"
        text += "            schema:\n              type: object\n              additionalProperties: false\n"
        if !required.isEmpty { text += "              required: [\(required.joined(separator: ", "))]\n" }
        text += "              properties:\n"
        for member in members {
            text += "                \(member.name):\n                  description: \(quote(member.text))\n"
            text += "                  allOf: [\(schema(member.kind))]\n"
        }
        return text
    }

    private static func responses(_ operation: Operation) -> String {
        let route = operation.route
        var text = "      responses:\n        \"200\":\n          description: \(quote(route.summary))\n          content:\n"
        text += "            \(quote(route.content.rawValue)):\n              schema: \(answer(operation))\n"
        if operation == .live || operation == .ready {
            text += "        \"503\":\n          description: \"The same object; something is not as it should be\"\n"
            text += "          content:\n            \"application/json\":\n              schema: {$ref: \"#/components/schemas/Health\"}\n"
        }
        return text + "        default: {$ref: \"#/components/responses/Problem\"}\n"
    }

    private static func answer(_ operation: Operation) -> String {
        switch operation {
        case .index: "{type: array, items: {$ref: \"#/components/schemas/Route\"}}"
        case .bans: "{type: array, items: {$ref: \"#/components/schemas/Ban\"}}"
        case .peers, .masternodes: "{type: array, items: {$ref: \"#/components/schemas/Peer\"}}"
        case .peer: "{$ref: \"#/components/schemas/Peer\"}"
        case .why: "{$ref: \"#/components/schemas/Why\"}"
        case .live, .ready: "{$ref: \"#/components/schemas/Health\"}"
        case .openapi, .dashboard, .dashboardStyle, .dashboardScript, .metrics, .events: "{type: string}"
        case .status: "{$ref: \"#/components/schemas/Status\"}"
        case .slots: "{$ref: \"#/components/schemas/Slots\"}"
        case .loop: "{$ref: \"#/components/schemas/Loop\"}"
        case .connect, .disconnect, .redial, .ban, .unban, .trust, .untrust, .addMasternode, .removeMasternode, .drain, .reload, .logLevel:
            "{$ref: \"#/components/schemas/Done\"}"
        }
    }

    private static func schema(_ kind: Parameter.Kind) -> String {
        switch kind {
        case .peer: "{type: string, examples: [\"192.0.2.1:24200\", \"[2001:db8::1]:24200\", \"mn1.example.org:24200\"]}"
        case .subject: "{type: string, examples: [\"192.0.2.1\", \"192.0.2.0/24\", \"2001:db8::/32\", \"mn1.example.org:24200\"]}"
        case .span: "{type: string, pattern: \"^[0-9]+(ms|s|m|h|d|w)$\", examples: [\"1h\"]}"
        case .count: "{type: integer, minimum: 0}"
        case .flag: "{type: boolean}"
        case .text: "{type: string, maxLength: 256}"
        case .choice(let choices): "{type: string, enum: [\(choices.joined(separator: ", "))]}"
        }
    }

    private static func quote(_ text: String) -> String { "\"\(text.replacing("\"", with: "\\\""))\"" }

    private static var components: String {
        """
        components:
          responses:
            Problem:
              description: "What is wrong, as RFC 9457 has it"
              content:
                application/problem+json:
                  schema:
                    type: object
                    required: [type, title, status, detail]
                    properties:
                      type: {type: string}
                      title: {type: string}
                      status: {type: integer}
                      detail: {type: string}
          schemas:
            Link:
              type: object
              required: [state, direction, remote, identity, slot, generation, since, misses, queueBytes, bytesIn, bytesOut, framesIn, framesOut, paused]
              properties:
                state: {type: string}
                direction: {type: string, enum: [inbound, outbound]}
                remote: {type: string}
                identity: {type: string, enum: [\(["pending", "dialled", "proven", "claimed", "weak", "anonymous"].joined(separator: ", "))]}
                slot: {type: integer}
                generation: {type: integer}
                since: {type: [string, "null"], format: date-time}
                lastReceived: {type: [string, "null"], format: date-time}
                lastSent: {type: [string, "null"], format: date-time}
                rttSeconds: {type: [number, "null"]}
                misses: {type: integer}
                queueBytes: {type: integer}
                bytesIn: {type: integer}
                bytesOut: {type: integer}
                framesIn: {type: integer}
                framesOut: {type: integer}
                paused: {type: boolean}
            Peer:
              type: object
              required: [id, names, state, class, wantedBy, failures, link]
              properties:
                id: {type: string}
                names: {type: array, description: "The names that mean this peer", items: {type: string}}
                state: {type: string, enum: [\(PeerRow.stateNames.joined(separator: ", "))]}
                class: {type: string, enum: [masternode, regular]}
                wantedBy: {type: array, items: {type: string, enum: [registry, operator, learnt]}}
                since: {type: [string, "null"], format: date-time}
                failures: {type: integer}
                next: {type: [string, "null"], format: date-time}
                nextSeconds: {type: [number, "null"]}
                lastCloseReason: {type: [string, "null"]}
                lastSuccess: {type: [string, "null"], format: date-time}
                score: {type: integer}
                foreign: {type: boolean}
                link: {oneOf: [{$ref: "#/components/schemas/Link"}, {type: "null"}]}
            Why:
              type: object
              required: [id, names, state, standing, sentence, advice, next, wanted, verdict, link, history]
              properties:
                id: {type: string}
                names: {type: array, items: {type: string}}
                state: {type: string}
                standing: {type: string, enum: [\(Standing.allCases.map(\.rawValue).joined(separator: ", "))]}
                sentence: {type: string}
                advice: {type: string}
                next:
                  type: object
                  required: [step, at, seconds]
                  properties: {step: {type: string}, at: {type: [string, "null"], format: date-time}, seconds: {type: [number, "null"]}}
                wanted: {type: object, required: [is, by], properties: {is: {type: boolean}, by: {type: array, items: {type: string}}}}
                class: {type: string, enum: [masternode, regular]}
                turn: {type: object, required: [to, text], properties: {to: {type: string, enum: [either, ours, theirs]}, text: {type: string}}}
                verdict:
                  type: object
                  required: [kind, reason, until, seconds]
                  properties:
                    kind: {type: string, enum: ["yes", "no", wait, queue]}
                    reason: {type: [string, "null"]}
                    until: {type: [string, "null"], format: date-time}
                    seconds: {type: [number, "null"]}
                ban: {oneOf: [{$ref: "#/components/schemas/Ban"}, {type: "null"}]}
                slots: {type: object, required: [needed, regularTaken, regularSlots, taken, slots]}
                attempts: {type: object, required: [failuresInARow, dials, established], additionalProperties: {type: integer}}
                since: {type: [string, "null"], format: date-time}
                lastCloseReason: {type: [string, "null"]}
                lastSuccess: {type: [string, "null"], format: date-time}
                link: {oneOf: [{$ref: "#/components/schemas/Link"}, {type: "null"}]}
                history: {type: array, maxItems: \(PeerHistory.length), items: {$ref: "#/components/schemas/Transition"}}
            Health:
              type: object
              required: [status, checks]
              properties:
                status: {type: string, enum: [good, degraded, down]}
                checks:
                  type: array
                  items:
                    type: object
                    required: [name, status, value, threshold, message]
                    properties:
                      name: {type: string}
                      status: {type: string, enum: [good, degraded, down]}
                      value: {type: [number, boolean, "null"]}
                      threshold: {type: [number, boolean]}
                      message: {type: string}
        \(OpenAPI.answers)
            Done:
              type: object
              required: [done]
              properties:
                done: {type: string}
                subject: {type: string, description: "Of a ban or a trust: the address or range"}
                from: {type: string, format: date-time, description: "Of a ban: when it began"}
                until: {type: [string, "null"], format: date-time, description: "Of a ban: its end by the clock as it is; null for ever"}
                seconds: {type: [number, "null"], description: "Of a ban: its length, which holds however the clock is set; null for ever"}
                warning: {type: string}

        """
    }
}
