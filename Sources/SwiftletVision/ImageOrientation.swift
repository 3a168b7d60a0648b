// Which side of a stored picture is up. Cameras store rows as the sensor gives them and note how they were held: tag 0x0112 of the EXIF block,
// which is a TIFF directory in an APP1 segment of a JPEG file or in the eXIf chunk of a PNG file.
// Sources: CIPA DC-008 (Exif 2.32), 4.6.4 and 4.7.2; TIFF 6.0, section 2; PNG third edition, 11.3.4.5.
import SwiftletTensor

/// How a stored picture is turned and mirrored. The raw value is that of the EXIF tag; `topLeft` is upright.
///
/// A name says where the first stored row and the first stored column belong: `rightTop` has its first row at the right, its first column at the
/// top, so it is turned a quarter clockwise to be upright.
public enum ImageOrientation: UInt16, Sendable, Hashable, CaseIterable {
    case topLeft = 1
    case topRight = 2
    case bottomRight = 3
    case bottomLeft = 4
    case leftTop = 5
    case rightTop = 6
    case rightBottom = 7
    case leftBottom = 8

    /// Whether rows become columns.
    var swapsAxes: Bool { rawValue >= 5 }

    /// The orientation noted in a JPEG or PNG file; `topLeft` when there is no note or it makes no sense (pictures show whatever it says).
    init(encoded bytes: UnsafeRawBufferPointer) {
        let block = bytes.first == 0x89 ? Self.blockOfPNG(bytes) : Self.blockOfJPEG(bytes)
        self = block.flatMap { Self.orientation(UnsafeRawBufferPointer(rebasing: bytes[$0])) } ?? .topLeft
    }

    /// The TIFF directory among the segments in front of the pixels: FF, kind, u16 length with its own two bytes, all big-endian.
    private static func blockOfJPEG(_ bytes: UnsafeRawBufferPointer) -> Range<Int>? {
        var place = 2
        while place + 4 <= bytes.count, bytes[place] == 0xFF {
            let kind = bytes[place + 1]
            if kind == 0xFF {  // padding in front of a marker
                place += 1
                continue
            }
            if kind == 0xDA || kind == 0xD9 { return nil }  // pixels follow, or the file ends
            let length = Int(bytes[place + 2]) << 8 | Int(bytes[place + 3])
            guard length >= 2, place + 2 + length <= bytes.count else { return nil }
            let body = place + 4..<place + 2 + length
            if kind == 0xE1, bytes[body].starts(with: Array("Exif\0\0".utf8)) { return body.lowerBound + 6..<body.upperBound }
            place = body.upperBound
        }
        return nil
    }

    /// The body of the eXIf chunk: u32 length, name, body, u32 checksum, all big-endian. libpng has checked the file.
    private static func blockOfPNG(_ bytes: UnsafeRawBufferPointer) -> Range<Int>? {
        var place = 8
        while place + 12 <= bytes.count {
            let length = (0..<4).reduce(0) { $0 << 8 | Int(bytes[place + $1]) }
            guard length <= bytes.count - place - 12 else { return nil }
            if bytes[place + 4..<place + 8].elementsEqual("eXIf".utf8) { return place + 8..<place + 8 + length }
            place += 12 + length
        }
        return nil
    }

    /// Tag 0x0112 of the first directory of a TIFF block: "II" or "MM", 42, the directory's offset; u16 count of entries of 12 bytes.
    private static func orientation(_ block: UnsafeRawBufferPointer) -> ImageOrientation? {
        let isLittle = block.starts(with: [0x49, 0x49, 0x2A, 0x00])
        guard isLittle || block.starts(with: [0x4D, 0x4D, 0x00, 0x2A]), block.count >= 8 else { return nil }
        func number(_ offset: Int, _ bytes: Int) -> Int {
            (0..<bytes).reduce(0) { $0 << 8 | Int(block[offset + (isLittle ? bytes - 1 - $1 : $1)]) }
        }
        let directory = number(4, 4)
        guard directory <= block.count - 2 else { return nil }
        for index in 0..<number(directory, 2) {
            let entry = directory + 2 + 12 * index
            guard entry + 12 <= block.count else { return nil }
            // One SHORT, in the first two of the four bytes for values.
            if number(entry, 2) == 0x0112 && number(entry + 2, 2) == 3 && number(entry + 4, 4) == 1 {
                return ImageOrientation(rawValue: UInt16(number(entry + 8, 2)))
            }
        }
        return nil
    }
}

extension Image {
    /// The picture upright, given how it is stored.
    public func oriented(_ orientation: ImageOrientation) throws -> Image {
        if orientation == .topLeft { return self }
        let channels = format.channels
        let target = orientation.swapsAxes ? ImageSize(width: height, height: width) : size
        let (right, bottom) = (width - 1, height - 1)
        // The stored pixel of upright (0, 0), and the step to take for the next column and the next row.
        let (start, column, row): ((x: Int, y: Int), (x: Int, y: Int), (x: Int, y: Int)) =
            switch orientation {
            case .topLeft: ((0, 0), (1, 0), (0, 1))
            case .topRight: ((right, 0), (-1, 0), (0, 1))
            case .bottomRight: ((right, bottom), (-1, 0), (0, -1))
            case .bottomLeft: ((0, bottom), (1, 0), (0, -1))
            case .leftTop: ((0, 0), (0, 1), (1, 0))
            case .rightTop: ((0, bottom), (0, -1), (1, 0))
            case .rightBottom: ((right, bottom), (0, -1), (-1, 0))
            case .leftBottom: ((right, 0), (0, 1), (-1, 0))
            }
        let stored = width
        func step(_ by: (x: Int, y: Int)) -> Int { (by.y * stored + by.x) * channels }
        return try withLevels { source in
            try Image(size: target, format: format) { result in
                var place = 0
                for y in 0..<target.height {
                    var from = step(start) + y * step(row)
                    for _ in 0..<target.width {
                        for channel in 0..<channels { result[place + channel] = source[from + channel] }
                        place += channels
                        from += step(column)
                    }
                }
            }
        }
    }
}
