// What it costs to get onto a loop from elsewhere and back: ours and SwiftNIO's.
//
//   hop count ours|nio WAY COUNT    goes so often, and nothing else that grows with COUNT: for callgrind, strace and malloc-count
//   hop time ROUNDS                 every way, the two sides in turns; prints the medians and the median of the ratios per round
//
// WAY is one of post, burst, submit, actor, pair: see Ways.swift.

import Glibc

func median(_ values: [Double]) -> Double {
    let sorted = values.sorted()
    let middle = sorted.count / 2
    return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

func padded(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.utf8.count)) + text
}

func rounded(_ value: Double, _ factor: Double) -> String {
    String(describing: (value * factor).rounded() / factor)
}

func time(_ side: some Side, _ way: Way) -> Double {
    let start = nanoseconds()
    side.go(way, way.sample)
    return Double(nanoseconds() - start) / Double(way.sample)
}

func compare(_ rounds: Int) throws {
    let (ours, theirs) = (try Ours(), Theirs())
    print("nanoseconds a hop, median of \(rounds) rounds in turns; the ratio is the median of the rounds' ratios (lowest to highest)")
    print("\(padded("way", 8))\(padded("ours", 10))\(padded("SwiftNIO", 10))\(padded("ratio", 8))")
    for way in Way.allCases {
        var (first, second, ratios): ([Double], [Double], [Double]) = ([], [], [])
        ours.go(way, way.sample / 10)
        theirs.go(way, way.sample / 10)
        for _ in 0..<rounds {
            let (mine, other) = (time(ours, way), time(theirs, way))
            first.append(mine)
            second.append(other)
            ratios.append(mine / other)
        }
        let range = "(\(rounded(ratios.min()!, 100)) to \(rounded(ratios.max()!, 100)))"
        let row = [(way.rawValue, 8), (rounded(median(first), 1), 10), (rounded(median(second), 1), 10), (rounded(median(ratios), 100), 8)]
        print(row.map { padded($0.0, $0.1) }.joined() + "  " + range)
    }
}

let arguments = Array(CommandLine.arguments.dropFirst())
switch (arguments.first, arguments.count) {
case ("time", 2):
    guard let rounds = Int(arguments[1]), rounds > 0 else { fatalError("usage: hop time ROUNDS") }
    try compare(rounds)
case ("count", 4):
    guard let way = Way(rawValue: arguments[2]), let count = Int(arguments[3]), count > 0 else {
        fatalError("usage: hop count ours|nio post|burst|submit|actor|pair COUNT")
    }
    switch arguments[1] {
    case "ours": try Ours().go(way, count)
    case "nio": Theirs().go(way, count)
    default: fatalError("a side is ours or nio")
    }
default:
    fatalError("usage: hop count ours|nio WAY COUNT | hop time ROUNDS")
}
exit(0)
