// What the API says when it cannot do what was asked: an RFC 9457 problem object, for people and programs alike.

import NIOHTTP1

/// A refusal.
struct Problem: Error, Hashable, Sendable {
    let status: UInt
    let title: String
    /// What was wrong with this request, and what is accepted.
    let detail: String

    init(_ status: UInt, _ title: String, _ detail: String) {
        self.status = status
        self.title = title
        self.detail = detail
    }

    var json: JSON {
        .members(("type", .string("about:blank")), ("title", .string(title)), ("status", .count(status)), ("detail", .string(detail)))
    }

    var answer: Answer {
        Answer(status: HTTPResponseStatus(statusCode: Int(status)), type: "application/problem+json", body: json.page)
    }

    static func badRequest(_ detail: String) -> Problem { Problem(400, "Bad request", detail) }
    static func notFound(_ detail: String) -> Problem { Problem(404, "Not found", detail) }
    /// The request is well-formed, and a value in it is not one that is accepted.
    static func badValue(_ detail: String) -> Problem { Problem(422, "Bad value", detail) }
    static func unavailable(_ detail: String) -> Problem { Problem(503, "Unavailable", detail) }
}

/// What the API answers.
struct Answer: Sendable {
    var status = HTTPResponseStatus.ok
    var type = "application/json"
    var body: String
    /// For a method that a path does not take.
    var allow: String?

    static func json(_ value: JSON) -> Answer { Answer(body: value.page) }
}
