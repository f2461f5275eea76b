// What the API's description says of the answers that are one of a kind.

extension OpenAPI {
    /// Schemas, as they stand among the components.
    static var answers: String {
        """
            Route:
              type: object
              required: [method, path, summary]
              properties:
                method: {type: string, enum: [GET, POST, DELETE]}
                path: {type: string}
                summary: {type: string}
            Status:
              type: object
              required: [version, pid, network, dialect, role, startedAt, uptimeSeconds, listening, listenTrouble, advertised, reach, links, peers, store, loopRebuilds, health]
              properties:
                version: {type: string}
                pid: {type: integer}
                network: {type: string}
                dialect: {type: string}
                role: {type: string, enum: [masternode, regular]}
                startedAt: {type: string, format: date-time}
                uptimeSeconds: {type: number}
                listening: {type: array, items: {type: string}}
                listenTrouble:
                  type: array
                  description: "Listeners that nobody can reach now: their address is gone, or they rest; empty if all is well"
                  items: {type: object, required: [listen, text], properties: {listen: {type: [string, "null"]}, text: {type: string}}}
                advertised: {type: [string, "null"]}
                reach:
                  type: object
                  required: [inboundSeen, inboundExpected, text, seenAs, warning]
                  properties:
                    inboundSeen: {type: boolean}
                    inboundExpected: {type: boolean}
                    text: {type: string}
                    seenAs:
                      type: array
                      description: "By which addresses the last peers see this node"
                      items: {type: object, required: [address, peers], properties: {address: {type: string}, peers: {type: integer}}}
                    warning: {type: [string, "null"]}
                links:
                  type: object
                  required: [established, masternodes, regular, inbound, outbound, pending, dialing, draining]
                  additionalProperties: {type: integer}
                peers: {type: object, required: [known, wanted, masternodes, banned], additionalProperties: {type: integer}}
                store:
                  type: [object, "null"]
                  required: [path, trouble, lagSeconds, addresses, tried, lostRecords]
                  properties:
                    path: {type: string}
                    trouble: {type: [string, "null"]}
                    lagSeconds: {type: number}
                    addresses: {type: integer}
                    tried: {type: integer}
                    lostRecords: {type: integer}
                loopRebuilds: {type: integer, description: "Times that the loop made its epoll anew, as a child process held its sockets"}
                health: {type: string, enum: [good, degraded, down]}
            Slots:
              type: object
              required: [maxPeers, reserved, regularSlots, masternodes, regular, free, pending, draining, dials]
              properties:
                maxPeers: {type: integer}
                reserved: {type: integer}
                regularSlots: {type: integer}
                masternodes: {type: object, required: [established, dialing], additionalProperties: {type: integer}}
                regular: {type: object, required: [established, dialing, free], additionalProperties: {type: integer}}
                free: {type: integer}
                pending: {$ref: "#/components/schemas/Fill"}
                draining: {$ref: "#/components/schemas/Fill"}
                dials: {$ref: "#/components/schemas/Fill"}
            Fill: {type: object, required: [now, limit], properties: {now: {type: integer}, limit: {type: integer}}}
            Ban:
              type: object
              required: [subject, kind, by, until, seconds, closeReason, reason, setBy, setAt, lengthSeconds]
              properties:
                subject: {type: string}
                kind: {type: string, enum: [ban, trust]}
                by: {type: string, enum: [operator, automatic]}
                until: {type: [string, "null"], format: date-time}
                seconds: {type: [number, "null"]}
                closeReason: {type: [string, "null"]}
                reason: {type: [string, "null"]}
                setBy: {type: [string, "null"]}
                setAt: {type: [string, "null"], format: date-time}
                lengthSeconds: {type: [number, "null"], description: "How long it was set for; null for ever, or where it is not known"}
            Loop:
              type: object
              required: [answerSeconds, iterations, events, wakes, jobs, timers, controls, carriedOver, rebuilds, lag, callbacks, cannotHappen, accepted, refused, dials, bytesIn, bytesOut, framesIn, framesOut, pingsOut, pongsOut, memoryInUse, memoryPeak, memoryLimit, strangersInUse, strangersLimit, descriptors, control]
              properties:
                answerSeconds: {type: number}
                lag: {$ref: "#/components/schemas/Spans"}
                callbacks: {$ref: "#/components/schemas/Spans"}
                cannotHappen: {type: object, additionalProperties: {type: integer}}
                descriptors: {type: object, required: [open, limit], additionalProperties: {type: integer}}
                control: {type: object, required: [connections, limit, followers, evicted, refusedFollowers, rests, lostRecords], additionalProperties: {type: integer}}
              additionalProperties: {type: integer}
            Transition:
              type: object
              required: [number, at, of, peer, from, to, class, reason, failures, next]
              properties:
                number: {type: integer}
                at: {type: string, format: date-time}
                of: {type: string, enum: [link, peer]}
                peer: {type: string}
                known: {type: boolean, description: "False for a link that is nobody's yet: its peer is where it comes from"}
                from: {type: string}
                to: {type: string}
                direction: {type: string, enum: [inbound, outbound]}
                slot: {type: integer}
                generation: {type: integer}
                class: {type: string, enum: [masternode, regular]}
                reason: {type: [string, "null"]}
                failures: {type: integer}
                next: {type: [string, "null"], format: date-time}
            Spans:
              type: object
              required: [count, p50Seconds, p99Seconds, longestSeconds]
              additionalProperties: {type: number}
        """
    }
}
