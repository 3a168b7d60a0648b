// The roofline's coordinates, and that its page is XML a viewer can read.
import Foundation
import SwiftletKernelCases
import SwiftletMeasure
import SwiftletTensor
import Testing

#if canImport(FoundationXML)
    import FoundationXML
#endif

private let limits = MachineLimits(
    processor: "A & B <C>",
    bandwidth: MemoryBandwidth(
        bufferBytes: 1 << 27, oneThread: 20, allThreads: 40, oneThreadMedian: 19, allThreadsMedian: 38, threads: 2),
    peaks: [
        PeakRate(name: "scalar-f32", unit: "f32", oneThread: 10, allThreads: 20),
        PeakRate(name: "avx2-int8", unit: "int8", oneThread: 200, allThreads: 400),
    ])

private func figure(
    _ kernel: String, intensity: Double?, speed: Double?, streams: Bool = true, isa: [String] = [], shape: String = "m/a<b>/rows=1"
) -> KernelFigure {
    KernelFigure(
        family: .linear, kernel: kernel, isa: isa, shape: shape, threads: 1, bestNanoseconds: 90, medianNanoseconds: 100,
        gigaoperationsPerSecond: speed, gigabytesPerSecond: 5, intensity: intensity, streamsMemory: streams, percentOfPeak: 50,
        percentOfBandwidth: streams ? 25 : nil, processor: "p", compiler: "c", commit: nil)
}

private let figures = [
    figure("linear_a_avx2", intensity: 1, speed: 10, isa: ["avx2"]), figure("linear_b_scalar", intensity: 10, speed: 100, streams: false),
    figure("quantize", intensity: nil, speed: nil), figure("linear_c_avx2", intensity: 1, speed: 10, isa: ["avx2"]),
]

private func near(_ left: Double, _ right: Double, _ tolerance: Double = 1e-9) -> Bool { abs(left - right) <= tolerance }

/// The elements of a page with their attributes; fails where the page is no well-formed XML.
private final class Reader: NSObject, XMLParserDelegate {
    var elements: [(name: String, attributes: [String: String])] = []
    var text = ""

    init(_ page: String) throws {
        super.init()
        let parser = XMLParser(data: Data(page.utf8))
        parser.delegate = self
        #expect(parser.parse(), "\(String(describing: parser.parserError)) in line \(parser.lineNumber)")
    }

    func parser(
        _ parser: XMLParser, didStartElement elementName: String, namespaceURI: String?, qualifiedName qName: String?,
        attributes attributeDict: [String: String] = [:]
    ) { elements.append((elementName, attributeDict)) }

    func parser(_ parser: XMLParser, foundCharacters string: String) { text += string }

    func numbers(_ name: String, _ keys: String...) -> [[Double]] {
        elements.filter { $0.name == name }.compactMap { element in
            let values = keys.compactMap { element.attributes[$0].flatMap(Double.init) }
            return values.count == keys.count ? values : nil
        }
    }
}

@Suite struct RooflineTests {
    private let plot = RooflinePlot(figures: figures, limits: limits)

    @Test func decadesAreEquallyFarApart() {
        // Speeds from 10 to 400; intensities from 1, with corners at 10/20, 20/40, 200/20 and 400/40.
        #expect(plot.yDecades == 1...3 && plot.xDecades == -1...1)
        #expect(plot.x(0.1) == plot.left && plot.x(10) == plot.right)
        #expect(plot.y(10) == plot.bottom && plot.y(1000) == plot.top)
        #expect(near(plot.x(1), (plot.left + plot.right) / 2))
        #expect(near(plot.y(100), (plot.top + plot.bottom) / 2))
    }

    @Test func pointsLieWhereTheirFiguresSay() {
        let points = plot.points
        #expect(points.map(\.number) == [1, 2, 3])
        #expect(points.map(\.figure.kernel) == ["linear_a_avx2", "linear_b_scalar", "linear_c_avx2"])
        #expect(near(points[0].x, (plot.left + plot.right) / 2) && points[0].y == plot.bottom)
        #expect(points[1].x == plot.right && near(points[1].y, (plot.top + plot.bottom) / 2))
    }

    @Test func roofsMeetAtTheirCorners() throws {
        #expect(plot.roofs.count == 6)
        for (threads, bandwidth, peak) in [(1, 20.0, 200.0), (2, 40, 400)] {
            let slope = try #require(plot.roofs.first { $0.kind == .memory && $0.threads == threads })
            let ceiling = try #require(plot.roofs.first { $0.kind == .compute && $0.threads == threads && $0.label == "avx2-int8" })
            #expect(slope.rate == bandwidth && ceiling.rate == peak)
            #expect(near(slope.end.x, ceiling.start.x) && near(slope.end.y, ceiling.start.y))
            #expect(near(ceiling.start.x, plot.x(peak / bandwidth)))
            #expect(ceiling.start.y == ceiling.end.y && ceiling.end.x == plot.right)
            // It enters from below, where speed is bandwidth times intensity too.
            #expect(near(slope.start.x, plot.x(10 / bandwidth)) && near(slope.start.y, plot.bottom))
        }
    }

    @Test func thePageIsXMLWithEveryPointInPlace() throws {
        let page = RooflineSVG.text(plot, title: "Roofline of \(limits.processor)")
        let reader = try Reader(page)
        #expect(reader.elements.first?.name == "svg" && reader.text.contains("Roofline of A & B <C>"))
        let width = try #require(reader.elements[0].attributes["width"].flatMap(Double.init))
        let height = try #require(reader.elements[0].attributes["height"].flatMap(Double.init))
        let discs = reader.numbers("circle", "cx", "cy"), squares = reader.numbers("rect", "x", "y", "width", "height")
        let (first, second) = (plot.points[0], plot.points[1])
        #expect(discs.filter { near($0[0], first.x, 0.006) && near($0[1], first.y, 0.006) }.count == 2)
        #expect(squares.contains { near($0[0] + $0[2] / 2, second.x, 0.006) && near($0[1] + $0[3] / 2, second.y, 0.006) })
        #expect(reader.elements.filter { $0.attributes["class"] == "point" }.count == 3)
        #expect(reader.elements.filter { $0.attributes["class"]?.hasPrefix("roof") == true }.count == 6)
        #expect(reader.text.contains("linear_b_scalar") && reader.text.contains("a<b>/rows=1") && !reader.text.contains("quantize"))
        for text in reader.numbers("text", "x", "y") { #expect((0...width).contains(text[0]) && (0...height).contains(text[1])) }
        // Nothing is fetched from elsewhere.
        #expect(!page.contains("href") && !page.contains("url("))
        _ = try Reader(RooflineSVG.text(RooflinePlot(figures: [], limits: limits), title: ""))
    }

    @Test func labelsDoNotCoverEachOther() {
        var placer = LabelPlacer()
        placer.occupy(x: 100, y: 100, radius: 4)
        let places = (0..<40).compactMap { _ in placer.place(x: 100, y: 100, width: 14, height: 10) }
        #expect(places.count == 40)
        for (index, place) in places.enumerated() {
            #expect(abs(place.x - 100) >= 11 || abs(place.y - 100) >= 9)
            for other in places[..<index] { #expect(abs(place.x - other.x) >= 14 || abs(place.y - other.y) >= 10) }
        }
    }

    @Test func theFileAppearsWholeOrNotAtAll() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appending(path: "roof.svg").path
        try RooflineSVG.write("old", to: path)
        try RooflineSVG.write("new", to: path)
        #expect(try String(contentsOfFile: path, encoding: .utf8) == "new")
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["roof.svg"])
        #expect(throws: SwiftletError.self) { try RooflineSVG.write("x", to: folder.appending(path: "absent/roof.svg").path) }
    }
}
