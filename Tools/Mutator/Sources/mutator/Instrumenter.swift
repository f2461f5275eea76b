// Finds the points of one file and switches each by a call into Mutant.swift. It inserts text around expressions and moves
// nothing, so that every other character of the file stays as it is.

import SwiftOperators
import SwiftParser
import SwiftSyntax

final class Instrumenter: SyntaxVisitor {
    private let file: String
    private let tree: Syntax
    private let converter: SourceLocationConverter
    private var nextNumber: Int
    private(set) var points: [Point] = []
    private var insertions: [Insertion] = []

    /// Text that goes in at an offset, or takes the place of what stands there.
    private struct Insertion {
        var offset: Int
        /// Of several at one offset: ends from the inside out, then beginnings from the outside in.
        var rank: Int
        var length: Int
        var text: String
    }

    init(file: String, source: String, firstNumber: Int) throws {
        self.file = file
        tree = try OperatorTable.standardOperators.foldAll(Parser.parse(source: source))
        converter = SourceLocationConverter(fileName: file, tree: tree)
        nextNumber = firstNumber
        super.init(viewMode: .sourceAccurate)
    }

    /// The file with every point switchable.
    func instrumented() -> String {
        walk(tree)
        let ordered = insertions.sorted { ($0.offset, $0.rank) < ($1.offset, $1.rank) }
        let original = Array(tree.description.utf8)
        var result: [UInt8] = []
        var position = 0
        for insertion in ordered {
            result += original[position..<insertion.offset]
            result += Array(insertion.text.utf8)
            position = insertion.offset + insertion.length
        }
        result += original[position...]
        return String(decoding: result, as: UTF8.self)
    }

    // What is no policy.

    /// Wrong versions of their own.
    override func visit(_ node: IfConfigDeclSyntax) -> SyntaxVisitorContinueKind { .skipChildren }

    /// Assertions are checks; to break a check is not to break a policy.
    override func visit(_ node: FunctionCallExprSyntax) -> SyntaxVisitorContinueKind {
        let name = node.calledExpression.trimmedDescription
        if ["assert", "precondition", "assertionFailure", "preconditionFailure"].contains(name) { return .skipChildren }
        if name == "min" || name == "max", node.arguments.count == 2 {
            let number = add(name == "min" ? .minimum : .maximum, node)
            replace(node.calledExpression, by: name == "min" ? "mutantMin" : "mutantMax")
            insert(atStartOf: node.arguments, "\(number), ")
        }
        return .visitChildren
    }

    // Guards and conditions.

    override func visit(_ node: GuardStmtSyntax) -> SyntaxVisitorContinueKind {
        let conditions = expressions(node.conditions)
        // A binding cannot be dropped: what it binds is used below.
        if conditions.count == node.conditions.count, conditions.count > 1 {
            let number = add(.guardDropped, node.conditions)
            for condition in conditions { wrap(condition, "mutantTrue(\(number), ") }
        }
        for condition in conditions {
            force(condition, true, as: node.conditions.count > 1 ? .guardPart : .guardDropped)
        }
        return .visitChildren
    }

    /// An `if` that only leaves is a guard against its condition: dropped, it never leaves. Any other one guards its body.
    override func visit(_ node: IfExprSyntax) -> SyntaxVisitorContinueKind {
        let conditions = expressions(node.conditions)
        if node.elseBody == nil, leaves(node.body) {
            if let first = conditions.first { force(first, false, as: .guardDropped) }
            if node.conditions.count > 1 { for condition in conditions { force(condition, true, as: .guardPart) } }
        } else {
            for condition in conditions { force(condition, true, as: node.conditions.count > 1 ? .guardPart : .guardDropped) }
        }
        return .visitChildren
    }

    private func leaves(_ body: CodeBlockSyntax) -> Bool {
        guard let last = body.statements.last?.item else { return false }
        return last.is(ReturnStmtSyntax.self) || last.is(ContinueStmtSyntax.self) || last.is(BreakStmtSyntax.self)
    }

    override func visit(_ node: WhereClauseSyntax) -> SyntaxVisitorContinueKind {
        force(node.condition, true, as: .filterDropped)
        return .visitChildren
    }

    private func expressions(_ list: ConditionElementListSyntax) -> [ExprSyntax] {
        list.compactMap { if case .expression(let it) = $0.condition { it } else { nil } }
    }

    // Comparisons and what joins them.

    override func visit(_ node: InfixOperatorExprSyntax) -> SyntaxVisitorContinueKind {
        guard let symbol = node.operator.as(BinaryOperatorExprSyntax.self)?.operator.text else { return .visitChildren }
        switch symbol {
        case "&&":
            for side in [node.leftOperand, node.rightOperand] where !isChain(side, of: "&&") { force(side, true, as: .andPart) }
        case "||":
            for side in [node.leftOperand, node.rightOperand] where !isChain(side, of: "||") { force(side, false, as: .orPart) }
        case "<": flip(node, .less, "mutantLess")
        case "<=": flip(node, .lessOrEqual, "mutantLessOrEqual")
        case ">": flip(node, .greater, "mutantGreater")
        case ">=": flip(node, .greaterOrEqual, "mutantGreaterOrEqual")
        case "==": flip(node, .equal, "mutantEqual")
        case "!=": flip(node, .unequal, "mutantUnequal")
        default: break
        }
        return .visitChildren
    }

    /// `a && b && c` has three parts, not two and a pair.
    private func isChain(_ side: ExprSyntax, of symbol: String) -> Bool {
        side.as(InfixOperatorExprSyntax.self)?.operator.as(BinaryOperatorExprSyntax.self)?.operator.text == symbol
    }

    private func flip(_ node: InfixOperatorExprSyntax, _ kind: Point.Kind, _ function: String) {
        let number = add(kind, node)
        wrap(node, "\(function)(\(number), ")
        replace(node.operator, by: ",")
    }

    private func force(_ condition: some SyntaxProtocol, _ value: Bool, as kind: Point.Kind) {
        let number = add(kind, condition)
        wrap(condition, value ? "mutantTrue(\(number), " : "mutantFalse(\(number), ")
    }

    // Text.

    private func add(_ kind: Point.Kind, _ node: some SyntaxProtocol) -> Int {
        defer { nextNumber += 1 }
        var point = Point(
            number: nextNumber, file: file, function: function(around: Syntax(node)), occurrence: 1,
            line: converter.location(for: node.positionAfterSkippingLeadingTrivia).line, kind: kind, text: node.trimmedDescription)
        point.occurrence += points.count { ($0.function, $0.kind, $0.text) == (point.function, point.kind, point.text) }
        points.append(point)
        return nextNumber
    }

    private func function(around node: Syntax) -> String {
        var node = node
        while let parent = node.parent {
            if let it = parent.as(FunctionDeclSyntax.self) { return it.name.text }
            if parent.is(InitializerDeclSyntax.self) { return "init" }
            if let it = parent.as(PatternBindingSyntax.self), it.accessorBlock != nil { return it.pattern.trimmedDescription }
            node = parent
        }
        return "-"
    }

    private func wrap(_ node: some SyntaxProtocol, _ opening: String) {
        insert(atStartOf: node, opening)
        let end = node.endPositionBeforeTrailingTrivia.utf8Offset
        insertions.append(Insertion(offset: end, rank: -insertions.count, length: 0, text: ")"))
    }

    private func insert(atStartOf node: some SyntaxProtocol, _ text: String) {
        let start = node.positionAfterSkippingLeadingTrivia.utf8Offset
        insertions.append(Insertion(offset: start, rank: 1 + insertions.count, length: 0, text: text))
    }

    private func replace(_ node: some SyntaxProtocol, by text: String) {
        let start = node.positionAfterSkippingLeadingTrivia.utf8Offset
        let length = node.endPositionBeforeTrailingTrivia.utf8Offset - start
        insertions.append(Insertion(offset: start, rank: .max, length: length, text: text))
    }
}
