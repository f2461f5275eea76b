// Names in the control API: a peer is listed, explained, linked and let go by its name as by its address.

import PeerMesh
import Testing

@testable import Daemon

@Suite("Names in the control API")
struct NameDeskTests {
    @Test("a name that cannot be resolved is a row of its own, with its reason")
    func unresolved() throws {
        let scene = try NameScene(address: 66) { _, _, _ in [] }
        scene.keeper.want(scene.settings(masternodes: ["nosuch.test:45000"]))
        try scene.ask { asker in
            let rows = asker.wait("/peers?state=unresolved") { $0.elements.count == 1 }
            #expect(rows.elements.first?["id"]?.text == "nosuch.test:45000")
            #expect(rows.elements.first?["class"]?.text == "masternode")
            #expect(asker.get("/masternodes").elements.count == 1)
            let why = asker.wait("/peers/nosuch.test:45000/why") { $0["sentence"]?.text?.contains("it has no usable address") == true }
            #expect(why["standing"]?.text == "unresolved" && why["wanted"]?["is"]?.truth == true)
            #expect(asker.get("/peers/NoSuch.test:45000")["state"]?.text == "unresolved")
            // Without its port it is still the only one of this name.
            #expect(asker.get("/peers/nosuch.test/why")["id"]?.text == "nosuch.test:45000")
            #expect(asker.send("POST", "/redial", "{\"peer\":\"nosuch.test:45000\"}").body["now"]?["state"]?.text == "unresolved")
            let refused = asker.send("POST", "/disconnect", "{\"peer\":\"other.test:45000\"}")
            #expect(refused.status == 404 && refused.body.text?.contains("other.test:45000") == true)
        }
    }

    @Test("a peer is linked, explained, dialled again and let go by its name")
    func byName() throws {
        let scene = try NameScene(address: 67) { _, live, _ in [live] }
        let (name, live) = ("a.test:\(scene.live.port)", scene.live)
        try scene.ask { asker in
            #expect(asker.send("POST", "/connect", "{\"peer\":\"\(name)\"}").body["done"]?.text == "connect")
            let row = asker.wait("/peers/\(name)") { $0["state"]?.text == "established" }
            #expect(row["id"]?.text == live.description && row["names"]?.elements.first?.text == name)
            let why = asker.get("/peers/\(live)/why")
            #expect(why["names"]?.elements.first?.text == name && why["standing"]?.text == "linked")
            #expect(asker.send("POST", "/redial", "{\"peer\":\"\(name)\"}").body["peer"]?.text == live.description)
            #expect(asker.send("POST", "/disconnect", "{\"peer\":\"\(name)\"}").status == 200)
            _ = asker.wait("/peers?state=established") { $0.elements.isEmpty }
            #expect(asker.send("GET", "/peers/\(name)").status == 404)
        }
    }

    @Test("a disconnect by address ends the wish for its names, too")
    func byAddress() throws {
        let scene = try NameScene(address: 68) { _, live, _ in [live] }
        let (name, live) = ("a.test:\(scene.live.port)", scene.live)
        scene.keeper.want(scene.settings(peers: [name]))
        try scene.ask { asker in
            _ = asker.wait("/peers/\(name)") { $0["state"]?.text == "established" }
            #expect(asker.send("POST", "/disconnect", "{\"peer\":\"\(live)\"}").status == 200)
            _ = asker.wait("/peers?state=established") { $0.elements.isEmpty }
            #expect(asker.send("GET", "/peers/\(name)").status == 404)
        }
    }

    @Test("a masternode is added and taken back by name; one that the settings name is not taken back, and that is said")
    func masternodes() throws {
        let scene = try NameScene(address: 69) { _, live, _ in [live] }
        let name = "a.test:\(scene.live.port)"
        scene.keeper.want(scene.settings(masternodes: ["b.test:\(scene.live.port)"]))
        let other = "b.test:\(scene.live.port)"
        try scene.ask { asker in
            #expect(asker.send("POST", "/masternodes", "{\"peer\":\"\(name)\"}").body["done"]?.text == "add-masternode")
            _ = asker.wait("/peers/\(name)") { $0["state"]?.text == "established" && $0["names"]?.elements.count == 2 }
            #expect(asker.send("DELETE", "/masternodes/\(name)").body["warning"]?.text?.contains("by another name") == true)
            let kept = asker.send("DELETE", "/masternodes/\(other)").body
            #expect(kept["warning"]?.text?.contains("settings") == true && kept["now"]?["class"]?.text == "masternode")
            #expect(asker.send("POST", "/disconnect", "{\"peer\":\"\(other)\"}").status == 422)
        }
    }

    @Test("a name is banned and let in as its only address; one of several addresses is asked for, and so is a port left out")
    func bans() throws {
        let several = [Endpoint(IPAddress(v4: 127, 0, 72, 8), port: 5), Endpoint(IPAddress(v4: 127, 0, 72, 9), port: 5)]
        let scene = try NameScene(address: 72) { name, live, _ in name.host == "many.test" ? several : [live] }
        let name = "a.test:\(scene.live.port)"
        scene.keeper.want(scene.settings(peers: [name, "many.test:5", "nosuch.invalid:5"]))
        try scene.ask { asker in
            _ = asker.wait("/peers/\(name)") { $0["state"]?.text == "established" }
            let banned = asker.send("POST", "/ban", "{\"subject\":\"\(name)\",\"for\":\"1h\"}")
            #expect(banned.body["subject"]?.text == "127.0.72.1" && banned.body["seconds"]?.real == 3_600, "\(banned)")
            #expect(banned.body["from"]?.text?.hasSuffix("Z") == true && banned.body["until"]?.text?.hasSuffix("Z") == true)
            // Of an address that the node has never heard of, too, the ban is what decides.
            let stranger = asker.get("/peers/127.0.72.1:9/why")
            #expect(stranger["sentence"]?.text?.contains("banned for 59 min") == true && stranger["advice"]?.text?.contains("unban") == true, "\(stranger)")
            let row = asker.get("/bans").elements.first
            #expect(row?["lengthSeconds"]?.real == 3_600 && row?["setAt"]?.text == banned.body["from"]?.text)
            #expect(asker.send("POST", "/unban", "{\"subject\":\"\(name)\"}").body["subject"]?.text == "127.0.72.1")
            #expect(asker.send("POST", "/unban", "{\"subject\":\"\(name)\"}").status == 404)
            #expect(asker.send("POST", "/trust", "{\"subject\":\"\(name)\"}").body["subject"]?.text == "127.0.72.1")
            #expect(asker.send("POST", "/untrust", "{\"subject\":\"\(name)\"}").status == 200)
            let many = asker.send("POST", "/ban", "{\"subject\":\"many.test:5\"}")
            #expect(many.status == 422 && many.body.text?.contains("127.0.72.8, 127.0.72.9") == true, "\(many)")
            #expect(asker.send("POST", "/ban", "{\"subject\":\"other.test:5\"}").status == 404)
            let port = asker.send("POST", "/ban", "{\"subject\":\"127.0.72.1:5\"}")
            #expect(port.status == 422 && port.body.text?.contains("give 127.0.72.1") == true, "\(port)")
        }
    }

    @Test("events of a name are those of every address that it means; of a name that this node was not given there are none")
    func events() throws {
        let scene = try NameScene(address: 73) { _, live, _ in [live] }
        let (name, live) = ("a.test:\(scene.live.port)", scene.live)
        scene.keeper.want(scene.settings(peers: [name]))
        try scene.ask { asker in
            _ = asker.wait("/peers/\(name)") { $0["state"]?.text == "established" }
            func isMeant(_ peer: String, _ endpoint: Endpoint) -> Bool? {
                guard let request = try? Request(method: "GET", target: "/events?peer=\(peer)", body: []) else { return nil }
                return (try? asker.desk.filter(ofEvents: request))?(endpoint)
            }
            let other = Endpoint(live.address, port: 9)
            #expect(isMeant(name, live) == true && isMeant(name, other) == false)
            #expect(isMeant("a.test", live) == true && isMeant("A.Test:\(live.port)", live) == true)
            #expect(isMeant("\(live)", live) == true && isMeant("\(live)", other) == false)
            #expect(isMeant("b.test:5", live) == nil)
            for peer in [name, "a.test", "\(live)"] {
                #expect(asker.get("/peers?peer=\(peer)").elements.map { $0["id"]?.text } == [live.description], "\(peer)")
            }
            #expect(asker.send("GET", "/peers?peer=b.test:5").status == 404 && asker.get("/peers?peer=127.0.73.9:9").elements.isEmpty)
            // It is followed when it moves, and means nobody once it is wanted no longer.
            #expect(asker.send("POST", "/disconnect", "{\"peer\":\"\(name)\"}").status == 200)
            #expect(isMeant(name, live) == nil)
        }
    }

    @Test("a name whose address has no place in the book is shown with that reason, and one that is let go while its address is wanted says so")
    func noRoom() throws {
        let scene = try NameScene(address: 77) { name, live, _ in name.host == "a.test" ? [live] : [Endpoint(IPAddress(v4: 127, 0, 77, 99), port: 9)] }
        let (name, live) = ("a.test:\(scene.live.port)", scene.live)
        try scene.ask { asker in
            #expect(asker.send("POST", "/connect", "{\"peer\":\"\(live)\"}").status == 200)
            #expect(asker.send("POST", "/connect", "{\"peer\":\"\(name)\"}").status == 200)
            _ = asker.wait("/peers/\(name)") { $0["state"]?.text == "established" }
            let kept = asker.send("POST", "/disconnect", "{\"peer\":\"\(name)\"}").body
            #expect(kept["now"]?["state"]?.text == "established" && kept["warning"]?.text?.contains("still wanted") == true, "\(kept)")
            for index in 1..<64 { _ = asker.send("POST", "/connect", "{\"peer\":\"127.0.77.10:\(index)\"}") }
            #expect(asker.send("POST", "/masternodes", "{\"peer\":\"many.test:9\"}").status == 200)
            let row = asker.wait("/peers/many.test:9/why") { $0["sentence"]?.text?.contains("raise --book-capacity") == true }
            #expect(row["state"]?.text == "unresolved" && row["sentence"]?.text?.contains("127.0.77.99:9") == true, "\(row)")
            #expect(asker.get("/masternodes").elements.map { $0["id"]?.text } == ["many.test:9"])
            #expect(asker.send("POST", "/ban", "{\"subject\":\"127.0.77.5\",\"for\":\"0s\"}").status == 422)
        }
    }

    @Test("a masternode whose name has no address counts as one that is missing")
    func missing() throws {
        let scene = try NameScene(address: 74) { name, live, _ in name.host == "a.test" ? [live] : [] }
        scene.keeper.want(scene.settings(masternodes: ["a.test:\(scene.live.port)", "b.test:5", "c.test:5"]))
        try scene.ask { asker in
            _ = asker.wait("/peers/a.test:\(asker.desk.names?.reports.first?.peer.name.port ?? 0)") { $0["state"]?.text == "established" }
            let ready = asker.send("GET", "/health/ready").body
            let check = ready["checks"]?.elements.first { $0["name"]?.text == "masternodes" }
            #expect(check?["status"]?.text == "degraded", "\(ready)")
            #expect(check?["message"]?.text?.contains("1 of 3 masternodes are linked, 2 of them by names") == true, "\(ready)")
            let metrics = (try? asker.desk.metrics.page(asker.desk)) ?? ""
            for line in ["reactor_registered_masternodes 3", "reactor_unresolved_masternodes 2", "reactor_missing_masternodes 2"] {
                #expect(metrics.contains(line), "\(line)")
            }
        }
    }

    @Test("an address without its port is the only peer there, and where there are several they are named")
    func withoutPort() throws {
        let scene = try NameScene(address: 70) { _, _, _ in [] }
        let live = scene.live
        try scene.ask { asker in
            #expect(asker.send("POST", "/connect", "{\"peer\":\"\(live)\"}").status == 200)
            _ = asker.wait("/peers/127.0.70.1/why") { $0["standing"]?.text == "linked" }
            #expect(asker.send("POST", "/connect", "{\"peer\":\"127.0.70.1:9\"}").status == 200)
            let several = asker.send("GET", "/peers/127.0.70.1/why")
            #expect(several.status == 422 && several.body.text?.contains("\(live)") == true && several.body.text?.contains("127.0.70.1:9") == true)
            // Nobody there: the network's own port is meant.
            #expect(asker.get("/peers/127.0.70.200/why")["id"]?.text == "127.0.70.200:24200")
        }
    }

    @Test("what cannot be dialled is refused with the reason", arguments: [
        ("0.0.0.0:5", "unspecified"), ("[::]:5", "unspecified"), ("255.255.255.255:5", "broadcast"), ("224.0.0.1:5", "multicast"),
        ("[ff02::1]:5", "multicast"), ("[fe80::1]:5", "zone"),
    ])
    func undiallable(peer: String, word: String) throws {
        let scene = try NameScene(address: 71) { _, _, _ in [] }
        try scene.ask { asker in
            for path in ["/connect", "/masternodes"] {
                let refused = asker.send("POST", path, "{\"peer\":\"\(peer)\"}")
                #expect(refused.status == 422 && refused.body.text?.contains(word) == true, "\(refused)")
            }
        }
    }
}
