// The table of ONNX operators: each name with the function that imports it. One file a family; the families are joined here.

extension Importer {
    /// By operator; those of other domains with the domain in front, as in `com.microsoft.Gelu`.
    static let operators: [String: OperatorImporter] = {
        let families = [
            elementOperators, shapeOperators, lookUpOperators, productOperators, windowOperators, reductionOperators,
            normalisationOperators, quantisationOperators, recurrentOperators, attentionOperators, lossOperators, signalOperators, algebraOperators,
            selectionOperators, sequenceOperators, stringOperators, randomOperators, placementOperators, trainingOperators, classicalOperators,
        ]
        var table: [String: OperatorImporter] = [:]
        for family in families { table.merge(family) { first, _ in first } }
        return table
    }()
}
