// A screenful of coloured characters, and how it becomes bytes. Knows nothing of nodes.

/// A colour of the 256 that terminals agree on.
struct Ink: Hashable, Sendable {
    var code: UInt8

    static let plain = Ink(code: 252)
    static let bright = Ink(code: 231)
    static let dim = Ink(code: 243)
    static let faint = Ink(code: 238)
    static let green = Ink(code: 78)
    static let teal = Ink(code: 44)
    static let blue = Ink(code: 75)
    static let amber = Ink(code: 214)
    static let yellow = Ink(code: 228)
    static let red = Ink(code: 203)
    static let violet = Ink(code: 141)
}

/// A grid of cells that a frame is drawn on. What falls outside is not drawn.
struct Canvas {
    struct Cell: Hashable {
        var character: Character = " "
        var ink = Ink.plain
        var isBold = false
    }

    let width: Int
    let height: Int
    private var cells: [Cell]

    init(width: Int, height: Int) {
        self.width = width
        self.height = height
        cells = Array(repeating: Cell(), count: max(width * height, 0))
    }

    subscript(x: Int, y: Int) -> Cell {
        get { cells[y * width + x] }
        set {
            guard x >= 0, x < width, y >= 0, y < height else { return }
            cells[y * width + x] = newValue
        }
    }

    /// Draws text from (x, y) to the right, each character one cell; returns where it ended.
    @discardableResult
    mutating func draw(_ text: String, _ x: Int, _ y: Int, _ ink: Ink = .plain, bold: Bool = false, limit: Int = .max) -> Int {
        var column = x
        for character in text {
            guard column < min(width, limit) else { break }
            self[column, y] = Cell(character: character, ink: ink, isBold: bold)
            column += 1
        }
        return column
    }

    /// Draws text that ends before `x`.
    mutating func drawRight(_ text: String, _ x: Int, _ y: Int, _ ink: Ink = .plain, bold: Bool = false) {
        draw(text, x - text.count, y, ink, bold: bold)
    }

    /// Appends the frame: each row from its first column, without trailing spaces, the rest of the row erased.
    func append(to output: inout String, colours: Bool) {
        var ink: Ink?
        var isBold = false
        for y in 0..<height {
            output += "\u{1b}[\(y + 1);1H"
            let row = cells[y * width..<(y + 1) * width]
            let end = (row.lastIndex { $0.character != " " } ?? row.startIndex - 1) + 1
            for cell in row[row.startIndex..<end] {
                if colours, cell.character != " ", ink != cell.ink || isBold != cell.isBold {
                    output += "\u{1b}[\(cell.isBold ? 1 : 22);38;5;\(cell.ink.code)m"
                    ink = cell.ink
                    isBold = cell.isBold
                }
                output.append(cell.character)
            }
            output += "\u{1b}[K"
        }
        if colours { output += "\u{1b}[0m" }
    }

    /// The frame without colours, for tests.
    var text: String {
        (0..<height).map { y in String(cells[y * width..<(y + 1) * width].map(\.character)) }.joined(separator: "\n")
    }
}

/// Lines of dots, eight to a character: two columns and four rows of Braille.
struct DotField {
    let width: Int
    let height: Int
    private var dots: [UInt8]
    private var inks: [Ink]
    private var ranks: [UInt8]

    /// The size is in characters.
    init(width: Int, height: Int) {
        self.width = width
        self.height = height
        dots = Array(repeating: 0, count: width * height)
        inks = Array(repeating: .faint, count: width * height)
        ranks = Array(repeating: 0, count: width * height)
    }

    /// Draws a line between two points in dots; where lines share a character, the highest rank gives its colour.
    /// `gap` leaves out every so-many-th run of dots: 0 for a solid line.
    mutating func line(from: (x: Int, y: Int), to: (x: Int, y: Int), _ ink: Ink, rank: UInt8, gap: Int = 0) {
        let (dx, dy) = (abs(to.x - from.x), abs(to.y - from.y))
        let steps = max(dx, dy, 1)
        for step in 0...steps {
            if gap > 0, step / gap % 2 == 1 { continue }
            let x = from.x + ((to.x - from.x) * step * 2 + steps * (to.x < from.x ? -1 : 1)) / (steps * 2)
            let y = from.y + ((to.y - from.y) * step * 2 + steps * (to.y < from.y ? -1 : 1)) / (steps * 2)
            dot(x, y, ink, rank: rank)
        }
    }

    private mutating func dot(_ x: Int, _ y: Int, _ ink: Ink, rank: UInt8) {
        guard x >= 0, y >= 0, x < width * 2, y < height * 4 else { return }
        let index = y / 4 * width + x / 2
        let bits: [2 of [4 of UInt8]] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]]
        dots[index] |= bits[x % 2][y % 4]
        if rank >= ranks[index] {
            ranks[index] = rank
            inks[index] = ink
        }
    }

    func draw(on canvas: inout Canvas, _ left: Int, _ top: Int) {
        for y in 0..<height {
            for x in 0..<width where dots[y * width + x] != 0 {
                let scalar = Unicode.Scalar(0x2800 + UInt32(dots[y * width + x]))!
                canvas[left + x, top + y] = Canvas.Cell(character: Character(scalar), ink: inks[y * width + x])
            }
        }
    }
}
