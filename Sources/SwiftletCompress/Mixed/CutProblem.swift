// Which layers of a network compute in integers, so that the loss is least and costs stay within budgets, where layers that follow one another
// share values: a value between two layers is rounded as soon as one of them works on integers, and a border between integers and floats takes time.
//
// For prices λ of a byte and ν of a nanosecond the sum of loss, λ·bytes and ν·time has its least value at a minimum cut: a layer is on the side of the
// integers or of the floats, what a layer loses or costs is an edge from or to the ends, and what a value loses or costs an edge to a node of its own.
// Prices are searched; what the best of them leaves of a budget is filled layer by layer. For any prices, the least sum less the priced budget is less
// than the loss of every choice within the budgets (Lagrange), which bounds what the search may have missed.
// Kolmogorov and Zabih, "What energy functions can be minimized via graph cuts?", 2004; cuts by Dinic's algorithm.

/// Layers and the values between them.
package struct CutProblem {
    /// What a layer loses and costs, besides what its values do.
    package struct Layer {
        /// Of the rounded weight.
        package var weightLoss: Double
        /// Bytes that a float weight takes more than a rounded one.
        package var floatBytes: Int
        /// Nanoseconds that floats take longer, which may be negative.
        package var floatTime: Double
        /// Whether the weight may be floats, and whether it may be rounded among floats.
        package var allowsFloat: Bool
        package var allowsRoundedWeight: Bool
        /// The layer that makes its input, and those that read its result. Where all of them compute in integers, a float weight gains nothing
        /// (`StaticQuantisation.betweenIntegers`). Cuts leave that out, which keeps their bound; what is filled in afterwards heeds it.
        package var maker: Int?
        package var readers: [Int] = []

        package init(weightLoss: Double, floatBytes: Int, floatTime: Double = 0, allowsFloat: Bool = true, allowsRoundedWeight: Bool = false) {
            self.weightLoss = weightLoss
            self.floatBytes = floatBytes
            self.floatTime = floatTime
            self.allowsFloat = allowsFloat
            self.allowsRoundedWeight = allowsRoundedWeight
        }
    }

    /// A value that layers make or read.
    package struct Value {
        package var layers: [Int]
        /// When it is rounded: when any of its layers computes in integers.
        package var loss: Double
        /// Nanoseconds when some of its layers compute in integers and others in floats.
        package var borderTime: Double

        package init(layers: [Int], loss: Double, borderTime: Double = 0) {
            self.layers = layers
            self.loss = loss
            self.borderTime = borderTime
        }
    }

    /// What a choice gives.
    package struct Outcome: Sendable {
        package var precisions: [LayerPrecision]
        package var loss: Double
        /// Bytes and nanoseconds more than when all layers compute in integers.
        package var bytes: Int
        package var time: Double
    }

    /// An outcome, and what no choice within the budgets can go below.
    package struct Solution: Sendable {
        package var outcome: Outcome
        package var bound: Double
        /// Every outcome that the search met, for a plot.
        package var tried: [Outcome]
    }

    package let layers: [Layer]
    package let values: [Value]

    package init(layers: [Layer], values: [Value]) {
        self.layers = layers
        self.values = values
    }

    // MARK: Solving

    /// The least loss within budgets, counted from all layers in integers; nil for none. Nil where not even all layers in integers keep to one.
    package func leastLoss(bytes: Int?, time: Double?) -> Solution? {
        func fits(_ outcome: Outcome) -> Bool { outcome.bytes <= bytes ?? .max && outcome.time <= time ?? .infinity }
        var tried: [Outcome] = []
        var (best, bound): (Outcome?, Double) = (nil, 0)
        func attempt(_ bytePrice: Double, _ timePrice: Double) -> Outcome {
            let (outcome, cutLoss) = cut(bytePrice, timePrice)
            tried.append(outcome)
            let priced = cutLoss + bytePrice * (Double(outcome.bytes) - Double(bytes ?? 0)) + timePrice * (outcome.time - (time ?? 0))
            bound = max(bound, priced)
            if fits(outcome), outcome.loss < best?.loss ?? .infinity { best = outcome }
            return outcome
        }
        for timePrice in time == nil ? [0] : [0] + Self.prices(timeScale) {
            guard let bytes else {
                _ = attempt(0, timePrice)
                continue
            }
            // Dearer bytes are fewer: halves of the interval between prices.
            guard attempt(0, timePrice).bytes > bytes else { continue }
            let prices = Self.prices(byteScale)
            var (low, high) = (0, prices.count - 1)
            while low < high {
                let middle = (low + high) / 2
                if attempt(prices[middle], timePrice).bytes <= bytes { high = middle } else { low = middle + 1 }
            }
        }
        let integers = outcome([LayerPrecision](repeating: .int8, count: layers.count))
        if fits(integers), integers.loss < best?.loss ?? .infinity { best = integers }
        guard let best else { return nil }
        // Less loss first; of equal losses the fewer bytes.
        let filled = improved(improved(best, fits: fits) { $0.loss - $1.loss }, fits: fits) { $1.loss <= $0.loss ? Double($0.bytes - $1.bytes) : 0 }
        return Solution(outcome: filled, bound: min(bound, filled.loss), tried: tried)
    }

    /// The fewest bytes with a loss of at most `loss`; `bound` is then of bytes. Nil where no choice loses so little.
    package func fewestBytes(loss: Double) -> Solution? {
        var tried: [Outcome] = []
        var (best, bound): (Outcome?, Double) = (nil, 0)
        for price in [0] + Self.prices(byteScale) {
            let (outcome, cutLoss) = cut(price, 0)
            tried.append(outcome)
            if price > 0 { bound = max(bound, (cutLoss - loss) / price + Double(outcome.bytes)) }
            if outcome.loss <= loss, outcome.bytes < best?.bytes ?? .max { best = outcome }
        }
        guard let best else { return nil }
        let lowered = improved(best, fits: { $0.loss <= loss }) { Double($0.bytes - $1.bytes) }
        return Solution(outcome: lowered, bound: min(bound, Double(lowered.bytes)), tried: tried)
    }

    /// The least loss that any choice has.
    package var leastLoss: Double { cut(0, 0).outcome.loss }

    /// Changes one layer, or both layers of a value, at a time, as long as that gains something.
    private func improved(_ start: Outcome, fits: (Outcome) -> Bool, gain: (Outcome, Outcome) -> Double) -> Outcome {
        var best = start
        let groups = layers.indices.map { [$0] } + values.map(\.layers).filter { $0.count > 1 }
        while true {
            var next: (Outcome, Double)?
            for group in groups {
                for precision in LayerPrecision.allCases where group.allSatisfy({ allows(precision, $0) }) {
                    var precisions = best.precisions
                    for layer in group { precisions[layer] = precision }
                    let outcome = outcome(precisions)
                    let amount = gain(best, outcome)
                    if amount > 1e-12, fits(outcome), amount > next?.1 ?? 0 { next = (outcome, amount) }
                }
            }
            guard let next else { return best }
            best = next.0
        }
    }

    private func allows(_ precision: LayerPrecision, _ layer: Int) -> Bool {
        switch precision {
        case .int8: true
        case .int8Weights: layers[layer].allowsRoundedWeight
        case .float: layers[layer].allowsFloat
        }
    }

    /// What a choice loses and costs.
    package func outcome(_ precisions: [LayerPrecision]) -> Outcome {
        var outcome = Outcome(precisions: precisions, loss: 0, bytes: 0, time: 0)
        for (layer, precision) in zip(layers, precisions) {
            let isBetween = layer.maker.map { precisions[$0] == .int8 && !layer.readers.isEmpty && layer.readers.allSatisfy { precisions[$0] == .int8 } } ?? false
            if precision != .float || isBetween { outcome.loss += layer.weightLoss }
            if precision == .float { outcome.bytes += layer.floatBytes }
            if precision != .int8 { outcome.time += layer.floatTime }
        }
        for value in values {
            let integers = value.layers.count { precisions[$0] == .int8 }
            if integers > 0 { outcome.loss += value.loss }
            if integers > 0, integers < value.layers.count { outcome.time += value.borderTime }
        }
        return outcome
    }

    // MARK: Prices

    /// Prices from one at which nothing is bought to one at which everything is that gains anything, from cheap to dear.
    private static func prices(_ scale: Double) -> [Double] { (0..<60).map { scale * 0x1p-30 * 2.0.raised(to: Double($0) / 2) } }

    private var allLoss: Double { max(1e-30, layers.reduce(0) { $0 + $1.weightLoss } + values.reduce(0) { $0 + $1.loss }) }
    private var byteScale: Double { allLoss / Double(max(1, layers.map(\.floatBytes).filter { $0 > 0 }.min() ?? 1)) }
    private var timeScale: Double { allLoss / max(1, layers.map(\.floatTime).filter { $0 > 0 }.min() ?? 1) }

    // MARK: Cuts

    /// The choice with the least loss + bytePrice·bytes + timePrice·time, and its loss where float weights always gain what they can.
    private func cut(_ bytePrice: Double, _ timePrice: Double) -> (outcome: Outcome, loss: Double) {
        // A layer on the side of the start computes in integers.
        var flow = MaximumFlow(nodes: layers.count)
        var weights: [LayerPrecision] = []
        for (index, layer) in layers.enumerated() {
            let (asFloat, asRounded) = (bytePrice * Double(layer.floatBytes), layer.weightLoss)
            let takesFloat = layer.allowsFloat && (!layer.allowsRoundedWeight || asFloat < asRounded)
            weights.append(takesFloat ? .float : layer.allowsRoundedWeight ? .int8Weights : .int8)
            let integers = layer.weightLoss
            let floats = weights[index] == .int8 ? .infinity : (takesFloat ? asFloat : asRounded) + timePrice * layer.floatTime
            // Only the difference counts; ties go to integers.
            if floats > integers { flow.connect(.start, .node(index), floats - integers) } else { flow.connect(.node(index), .end, integers - floats) }
        }
        for value in values where !value.layers.isEmpty {
            let time = timePrice * value.borderTime
            // Rounded when any layer is on the start's side, a border when layers are on both sides.
            if value.layers.count == 1 {
                flow.connect(.node(value.layers[0]), .end, value.loss)
                continue
            }
            if value.loss + time > 0 {
                let any = flow.addNode()
                flow.connect(any, .end, value.loss + time)
                for layer in value.layers { flow.connect(.node(layer), any, .infinity) }
            }
            if time > 0 {
                let all = flow.addNode()
                flow.connect(.start, all, time)
                for layer in value.layers { flow.connect(all, .node(layer), .infinity) }
            }
        }
        // A border costs (any in integers) − (all in integers): the second was charged as (not all), so a constant is left over and the sum is right.
        let sides = flow.sidesOfMinimumCut()
        let precisions = layers.indices.map { sides[$0] ? .int8 : weights[$0] }
        var free = layers
        for index in free.indices { free[index].maker = nil }
        return (outcome(precisions), CutProblem(layers: free, values: values).outcome(precisions).loss)
    }
}

/// The largest flow through a small network, by Dinic's algorithm.
private struct MaximumFlow {
    enum Place {
        case start, end
        case node(Int)
    }

    private struct Edge {
        let target: Int
        var room: Double
    }

    private var edges: [Edge] = []
    /// Indices of edges from start, end and the nodes.
    private var leaving: [[Int]]

    init(nodes: Int) { leaving = [[Int]](repeating: [], count: nodes + 2) }

    private static func index(_ place: Place) -> Int {
        switch place {
        case .start: 0
        case .end: 1
        case .node(let index): index + 2
        }
    }

    mutating func addNode() -> Place {
        leaving.append([])
        return .node(leaving.count - 3)
    }

    mutating func connect(_ from: Place, _ to: Place, _ room: Double) {
        guard room > 0 else { return }
        let (a, b) = (Self.index(from), Self.index(to))
        leaving[a].append(edges.count)
        edges.append(Edge(target: b, room: room))
        leaving[b].append(edges.count)
        edges.append(Edge(target: a, room: 0))
    }

    /// Whether each node is on the side of the start in a minimum cut: of several the one with most nodes there.
    mutating func sidesOfMinimumCut() -> [Bool] {
        // What is left of a room by rounding errors is no room.
        let least = 1e-12 * (edges.map(\.room).filter(\.isFinite).max() ?? 1)
        while true {
            let depths = depths(least)
            guard depths[1] >= 0 else { break }
            var next = [Int](repeating: 0, count: leaving.count)
            while push(0, .infinity, depths, &next, least) > 0 {}
        }
        // What cannot reach the end.
        var reaches = [Bool](repeating: false, count: leaving.count)
        reaches[1] = true
        var queue = [1]
        while let node = queue.popLast() {
            for edge in leaving[node] where edges[edge ^ 1].room > least && !reaches[edges[edge].target] {
                reaches[edges[edge].target] = true
                queue.append(edges[edge].target)
            }
        }
        return reaches.dropFirst(2).map { !$0 }
    }

    private func depths(_ least: Double) -> [Int] {
        var depths = [Int](repeating: -1, count: leaving.count)
        depths[0] = 0
        var queue = [0]
        var position = 0
        while position < queue.count {
            let node = queue[position]
            position += 1
            for edge in leaving[node] where edges[edge].room > least && depths[edges[edge].target] < 0 {
                depths[edges[edge].target] = depths[node] + 1
                queue.append(edges[edge].target)
            }
        }
        return depths
    }

    private mutating func push(_ node: Int, _ amount: Double, _ depths: [Int], _ next: inout [Int], _ least: Double) -> Double {
        if node == 1 { return amount }
        while next[node] < leaving[node].count {
            let edge = leaving[node][next[node]]
            let target = edges[edge].target
            if edges[edge].room > least, depths[target] == depths[node] + 1 {
                let pushed = push(target, min(amount, edges[edge].room), depths, &next, least)
                if pushed > 0 {
                    edges[edge].room -= pushed
                    edges[edge ^ 1].room += pushed
                    return pushed
                }
            }
            next[node] += 1
        }
        return 0
    }
}
