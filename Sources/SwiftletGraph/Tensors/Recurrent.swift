// Recurrent layers, with the gate orders and options of ONNX.

/// A recurrent layer over a sequence, forwards, backwards or both. Operands: see `TensorOp.recurrent`.
public struct Recurrent: Sendable, Hashable {
    public enum Cell: Sendable, Hashable {
        /// `h = f(x·Wᵀ + b + h·Rᵀ + r)`
        case simple
        /// Gates z, r, h (Cho et al., 2014). `resetsAfter`: the reset gate multiplies behind the recurrent product (as cuDNN and Keras have it).
        case gru(resetsAfter: Bool)
        /// Gates i, o, f, c (Hochreiter and Schmidhuber, 1997). `couplesInputAndForget`: f = 1 − i.
        case lstm(couplesInputAndForget: Bool)
    }

    public enum Direction: String, Sendable, Hashable {
        case forward, reverse, bidirectional

        public var count: Int { self == .bidirectional ? 2 : 1 }
    }

    public var cell: Cell
    public var hidden: Int
    public var direction: Direction
    /// The functions of the gates, those of one direction after the other: simple f; GRU f, g; LSTM f, g, h.
    public var activations: [Unary]
    /// What enters the functions is kept within ± this; nil for no limit.
    public var clip: Float?
    /// Which optional operands there are, in operand order.
    public var hasBias: Bool
    public var hasLengths: Bool
    public var hasInitialHidden: Bool
    public var hasInitialCell: Bool
    public var hasPeepholes: Bool

    public init(
        cell: Cell, hidden: Int, direction: Direction = .forward, activations: [Unary], clip: Float? = nil, hasBias: Bool = false,
        hasLengths: Bool = false, hasInitialHidden: Bool = false, hasInitialCell: Bool = false, hasPeepholes: Bool = false
    ) {
        self.cell = cell
        self.hidden = hidden
        self.direction = direction
        self.activations = activations
        self.clip = clip
        self.hasBias = hasBias
        self.hasLengths = hasLengths
        self.hasInitialHidden = hasInitialHidden
        self.hasInitialCell = hasInitialCell
        self.hasPeepholes = hasPeepholes
    }

    /// Blocks of `hidden` rows in the weights of a direction.
    public var gateCount: Int {
        switch cell {
        case .simple: 1
        case .gru: 3
        case .lstm: 4
        }
    }

    /// Functions of one direction.
    public var activationCount: Int {
        switch cell {
        case .simple: 1
        case .gru: 2
        case .lstm: 3
        }
    }

    public var isLSTM: Bool { if case .lstm = cell { true } else { false } }

    /// The place of each optional operand; nil for one that is not there.
    public var operands: (bias: Int?, lengths: Int?, hidden: Int?, cell: Int?, peepholes: Int?, count: Int) {
        var next = 3
        func take(_ isThere: Bool) -> Int? {
            defer { if isThere { next += 1 } }
            return isThere ? next : nil
        }
        let places = (take(hasBias), take(hasLengths), take(hasInitialHidden), take(hasInitialCell), take(hasPeepholes))
        return (places.0, places.1, places.2, places.3, places.4, next)
    }
}
