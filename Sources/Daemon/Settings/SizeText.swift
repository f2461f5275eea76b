// Amounts of memory as operators type and read them: `65536`, `64KiB`, `16MiB`, `1GiB`. Whole numbers and binary units: no guessing.

enum SizeText {
    /// The form that `bytes(_:)` accepts, for messages.
    static let acceptedForm = "bytes, or a size such as 512KiB, 16MiB or 1GiB"

    private static let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)]

    /// Reads a size. Nil for anything else, overflow included.
    static func bytes(_ text: String) -> Int? {
        let digits = text.utf8.prefix { $0 >= 0x30 && $0 <= 0x39 }
        guard !digits.isEmpty, digits.count <= 18, let number = Int(Substring(digits)) else { return nil }
        let rest = text.dropFirst(digits.count)
        guard !rest.isEmpty else { return number }
        guard let shift = units.first(where: { $0.0 == rest })?.1 else { return nil }
        let (product, overflow) = number.multipliedReportingOverflow(by: 1 << shift)
        return overflow ? nil : product
    }

    /// The shortest form that reads back as the same size.
    static func text(_ bytes: Int) -> String {
        for (name, shift) in units where bytes > 0 && bytes % (1 << shift) == 0 { return "\(bytes >> shift)\(name)" }
        return String(bytes)
    }

    /// The next multiple of `1 << shift` bytes that is not less.
    static func text(_ bytes: Int, roundedTo shift: Int) -> String {
        text(((bytes + (1 << shift) - 1) >> shift) << shift)
    }
}

extension Setting {
    /// A setting that is an amount of memory.
    static func size(_ path: any WritableKeyPath<NodeConfiguration, Int> & Sendable, _ range: ClosedRange<Int>) -> Word {
        let extent = "\(SizeText.text(range.lowerBound)) … \(SizeText.text(range.upperBound))"
        let accepted = "\(SizeText.acceptedForm), from \(SizeText.text(range.lowerBound)) to \(SizeText.text(range.upperBound))"
        return Word(
            placeholder: "size", range: extent, accepted: accepted,
            read: { (text, configuration) throws(OptionError) in
                guard let bytes = SizeText.bytes(text), range.contains(bytes) else { throw OptionError(value: text, accepted: accepted) }
                configuration[keyPath: path] = bytes
            },
            text: { SizeText.text($0[keyPath: path]) }
        )
    }
}
