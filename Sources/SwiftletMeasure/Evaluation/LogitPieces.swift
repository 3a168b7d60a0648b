// How the rows of logits of a window are asked for: a row is as long as the vocabulary, so a window of them may take hundreds of megabytes.

/// A window cut into pieces with few enough rows each.
package struct LogitPieces {
    /// Tokens `tokens` of the window are evaluated; rows are wanted after each of the last `rows` of them, none where it is 0.
    package struct Piece: Equatable {
        package let tokens: Range<Int>
        package let rows: Int

        /// The wanted rows, as indices into the tokens of the piece.
        package var wanted: Range<Int> { tokens.count - rows..<tokens.count }
        /// The index in the window of the token the first wanted row stands at.
        package var firstRow: Int { tokens.upperBound - rows }
    }

    package let pieces: [Piece]

    /// Rows from token `first` on to the last but one; nothing follows the last. No piece has more than `rowLimit` rows, or rows and more than
    /// `batch` tokens.
    package init(count: Int, from first: Int, rowLimit: Int, batch: Int) {
        var pieces: [Piece] = []
        var start = 0
        var row = first
        let end = count - 1
        while row < end {
            // The unscored start goes along with the first rows when both fit into one batch, else before them.
            if row - start > 0, row - start + min(rowLimit, end - row) > batch {
                pieces.append(Piece(tokens: start..<row, rows: 0))
                start = row
            }
            let stop = min(row + rowLimit, end)
            pieces.append(Piece(tokens: start..<stop, rows: stop - row))
            start = stop
            row = stop
        }
        self.pieces = pieces
    }
}
