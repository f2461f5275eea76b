// The two parts of the book: new rows, which somebody told of or claims to be, and tried rows, where a dial of ours was answered. With
// each part goes how many rows one source, address or net has in it, so that no question about them walks the book.

/// In which part of the book a row is.
enum BookPart: UInt8, BitwiseCopyable {
    /// In neither: free, named by the registry, or named by the operator and not dialled with success yet.
    case none
    /// Told of, or claimed by a caller.
    case new
    /// A dial of ours was answered there with a valid hello.
    case tried
}

/// What rows are counted by.
enum BookShare: Int {
    /// New rows by the block of the address that told of them.
    case source
    /// New rows by the group of it.
    case sourceGroup
    /// New rows by the block of their own address.
    case address
    /// New rows by their own net.
    case net
    /// Tried rows by the block of their own address.
    case triedAddress
    /// Tried rows by their own group.
    case triedGroup

    static let count = 6
}

/// Both parts as dense lists, for drawing rows by lot, and the counts. Everything is O(1). Two addresses may share a counter: the key is
/// this process's own, so that nobody can arrange it.
struct BookParts: ~Copyable {
    private var new: Slab<Int32>
    private var tried: Slab<Int32>
    /// Where a row is in its part's list.
    private var places: Slab<Int32>
    private var counters: Slab<UInt32>
    private let mask: Int
    private(set) var newCount = 0
    private(set) var triedCount = 0

    init(capacity: Int) {
        var size = 64
        while size < capacity { size *= 2 }
        mask = size - 1
        new = Slab(count: capacity, repeating: -1)
        tried = Slab(count: capacity, repeating: -1)
        places = Slab(count: capacity, repeating: -1)
        counters = Slab(count: size * BookShare.count, repeating: 0)
    }

    private init(new: consuming Slab<Int32>, tried: consuming Slab<Int32>, places: consuming Slab<Int32>, counters: consuming Slab<UInt32>, mask: Int) {
        self.new = new
        self.tried = tried
        self.places = places
        self.counters = counters
        self.mask = mask
    }

    borrowing func clone() -> BookParts {
        var copy = BookParts(new: new.clone(), tried: tried.clone(), places: places.clone(), counters: counters.clone(), mask: mask)
        copy.newCount = newCount
        copy.triedCount = triedCount
        return copy
    }

    func count(_ part: BookPart) -> Int {
        switch part {
        case .none: 0
        case .new: newCount
        case .tried: triedCount
        }
    }

    /// The row at `place` of the part's list.
    func row(at place: Int, of part: BookPart) -> Int { Int(part == .new ? new[place] : tried[place]) }

    /// Rows that are looked at where one is drawn by lot: what a stranger's event costs does not grow with the book.
    static var lotSize: Int { 256 }

    /// The row of the `step`th lot, of up to `lotSize` that begin at a random place and are spread over the whole part: rows that came
    /// together lie together.
    func row(atLot step: Int, from start: Int, of part: BookPart) -> Int {
        let count = count(part)
        return row(at: (start + step * max(1, count / Self.lotSize)) % count, of: part)
    }

    /// Where the row is in the list of its part, or -1.
    func place(of row: Int) -> Int { Int(places[row]) }

    func count(_ share: BookShare, _ key: UInt32) -> Int { Int(counters[index(share, key)]) }

    private func index(_ share: BookShare, _ key: UInt32) -> Int { share.rawValue * (mask + 1) + Int(key) & mask }

    mutating func count(_ share: BookShare, _ key: UInt32, by change: Int) {
        let index = index(share, key)
        counters[index] = UInt32(Int(counters[index]) + change)
    }

    mutating func append(_ row: Int, to part: BookPart) {
        set(row, at: count(part), of: part)
        if part == .new { newCount += 1 } else { triedCount += 1 }
    }

    /// The last of the list takes the row's place.
    mutating func remove(_ row: Int, from part: BookPart) {
        if part == .new { newCount -= 1 } else { triedCount -= 1 }
        let (place, last) = (place(of: row), count(part))
        if place != last { set(self.row(at: last, of: part), at: place, of: part) }
        places[row] = -1
    }

    private mutating func set(_ row: Int, at place: Int, of part: BookPart) {
        if part == .new { new[place] = Int32(row) } else { tried[place] = Int32(row) }
        places[row] = Int32(place)
    }

    /// Puts a row back where it was, while a state is read; false if that cannot be.
    mutating func restore(_ row: Int, at place: Int, of part: BookPart) -> Bool {
        guard place >= 0, place < places.count, self.row(at: place, of: part) < 0 else { return false }
        set(row, at: place, of: part)
        if part == .new { newCount += 1 } else { triedCount += 1 }
        return true
    }

    /// Whether both lists are without gaps.
    var isDense: Bool {
        for place in 0..<newCount where new[place] < 0 { return false }
        for place in 0..<triedCount where tried[place] < 0 { return false }
        return true
    }
}

extension IPAddress {
    /// What one operator is likely to hold as a whole: a /16, or a /32 of IPv6.
    var group: IPAddress {
        switch family {
        case .v4: IPAddress(v4: v4Bits & 0xffff_0000)
        case .v6: IPAddress(v6High: high & 0xffff_ffff_0000_0000, low: 0)
        }
    }

    /// One site's network: a /24, or a /48 of IPv6.
    var net: IPAddress {
        switch family {
        case .v4: IPAddress(v4: v4Bits & 0xffff_ff00)
        case .v6: IPAddress(v6High: high & 0xffff_ffff_ffff_0000, low: 0)
        }
    }
}
