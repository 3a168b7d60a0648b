// Where the panels of a packed matrix lie: at equal distances, or, where zeros are left out and panels differ in size, wherever a table says.
import CKernels

/// The addresses of the panels of a matrix, or of those from one on.
struct PanelPlaces {
    /// What offsets count from; the first panel where there are none.
    let base: UnsafeRawPointer
    /// Bytes of a panel; of sparse ones the mean.
    let panelBytes: Int
    /// Bytes from one panel to the next, without offsets: `panelBytes`, or twice that where those of another matrix lie between.
    let stride: Int
    /// Where each panel begins, in lines of 64 bytes; the entry behind says where it ends.
    let offsets: UnsafePointer<UInt32>?
    /// Entries from one panel to the next: 1, or 2 where those of another matrix lie between.
    let offsetStride: Int

    static let lineBytes = 64

    /// Panels at equal distances.
    init(_ base: UnsafeRawPointer, panelBytes: Int, stride: Int) {
        (self.base, self.panelBytes, self.stride, offsets, offsetStride) = (base, panelBytes, stride, nil, 0)
    }

    /// Panels where `offsets` say.
    init(_ base: UnsafeRawPointer, panelBytes: Int, offsets: UnsafePointer<UInt32>, stride: Int) {
        (self.base, self.panelBytes, self.stride, self.offsets, offsetStride) = (base, panelBytes, 0, offsets, stride)
    }

    @inline(__always)
    subscript(panel: Int) -> UnsafeRawPointer {
        guard let offsets else { return base + panel * stride }
        return base + Self.lineBytes * Int(offsets[panel * offsetStride])
    }

    /// Where a panel ends.
    func end(of panel: Int) -> UnsafeRawPointer {
        guard let offsets else { return self[panel] + panelBytes }
        return base + Self.lineBytes * Int(offsets[panel * offsetStride + 1])
    }

    /// The panels from one on.
    @inline(__always)
    func from(_ panel: Int) -> PanelPlaces {
        guard let offsets else { return PanelPlaces(base + panel * stride, panelBytes: panelBytes, stride: stride) }
        return PanelPlaces(base, panelBytes: panelBytes, offsets: offsets + panel * offsetStride, stride: offsetStride)
    }

    /// These panels and those of `other` as one sequence, where they lie in turn.
    @inline(__always)
    func inTurn(with other: PanelPlaces) -> PanelPlaces? {
        if let offsets {
            guard other.base == base, other.offsets == offsets + 1, offsetStride == 2 else { return nil }
            return PanelPlaces(base, panelBytes: panelBytes, offsets: offsets, stride: 1)
        }
        guard other.offsets == nil, other.base == base + panelBytes, stride == 2 * panelBytes else { return nil }
        return PanelPlaces(base, panelBytes: panelBytes, stride: panelBytes)
    }
}
