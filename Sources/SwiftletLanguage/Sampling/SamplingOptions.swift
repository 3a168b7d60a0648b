// How the next token is chosen from the model's logits. `Sampler` applies these in the order in which they are listed here.
import SwiftletTensor

/// The settings of a sampler. The defaults are those of llama.cpp: temperature 0.8, top-k 40, top-p 0.95, min-p 0.05.
///
/// Steps in order: logit bias, penalties, top-k, typical, top-p, min-p, temperature, draw. Each filter renormalises over what the
/// filters before it left, and always leaves at least one token.
public struct SamplingOptions: Sendable, Codable, Equatable {
    /// Added to the logits of single tokens before everything else. −∞ forbids a token.
    public var logitBias: [Int32: Float] = [:]

    /// How many of the latest tokens (prompt included) the three penalties look at; 0 switches the penalties off.
    public var penaltyWindow = 64

    /// Divides the logit of a token in the window when positive, multiplies it when negative; 1 changes nothing.
    /// Keskar and others, "CTRL", 2019, section 4.1.
    public var repetitionPenalty: Float = 1

    /// Subtracted from a token's logit once for every time it is in the window (as in OpenAI's API); 0 changes nothing.
    public var frequencyPenalty: Float = 0

    /// Subtracted from a token's logit when it is in the window at all (as in OpenAI's API); 0 changes nothing.
    public var presencePenalty: Float = 0

    /// Keeps the k tokens with the largest logits; 0 keeps all. Fan and others, "Hierarchical Neural Story Generation", 2018.
    public var topK = 40

    /// Keeps the tokens whose surprise is nearest to the entropy, up to this probability mass; 1 keeps all.
    /// Meister and others, "Locally Typical Sampling", 2022.
    public var typicalP: Float = 1

    /// Keeps the most probable tokens up to this probability mass, the token that reaches it included; 1 keeps all, 0 the best one.
    /// Holtzman and others, "The Curious Case of Neural Text Degeneration", 2020.
    public var topP: Float = 0.95

    /// Keeps the tokens at least this fraction as probable as the best one; 0 keeps all.
    /// Nguyen and others, "Turning Up the Heat: Min-p Sampling", 2024.
    public var minP: Float = 0.05

    /// Logits are divided by this before the draw. 0 is greedy: the largest logit after bias and penalties, the lowest id of equals;
    /// the filters then do not matter.
    public var temperature: Float = 0.8

    /// Seeds the draws: the same seed, options and logits give the same tokens. Nil takes a seed from the system.
    public var seed: UInt64?

    public init() {}

    /// Always the most probable token.
    public static var greedy: SamplingOptions {
        var options = SamplingOptions()
        options.temperature = 0
        return options
    }

    /// Throws `SwiftletError.invalidArgument`, naming the setting, when one is outside its range.
    public func validate() throws {
        func require(_ isValid: Bool, _ name: String, _ value: some CustomStringConvertible, _ range: String) throws {
            guard !isValid else { return }
            throw SwiftletError.invalidArgument(name: name, reason: "\(value) is not \(range)", remedy: "Give a value that is \(range).")
        }
        try require(temperature >= 0 && temperature.isFinite, "temperature", temperature, "zero or a positive number")
        try require(topK >= 0, "top-k", topK, "zero or a positive number")
        try require((0...1).contains(topP), "top-p", topP, "between 0 and 1")
        try require((0...1).contains(minP), "min-p", minP, "between 0 and 1")
        try require((0...1).contains(typicalP), "typical-p", typicalP, "between 0 and 1")
        try require(repetitionPenalty > 0 && repetitionPenalty.isFinite, "repetition-penalty", repetitionPenalty, "a positive number")
        try require(frequencyPenalty.isFinite, "frequency-penalty", frequencyPenalty, "a finite number")
        try require(presencePenalty.isFinite, "presence-penalty", presencePenalty, "a finite number")
        try require(penaltyWindow >= 0, "penalty-window", penaltyWindow, "zero or a positive number")
        for (token, bias) in logitBias {
            try require(token >= 0, "logit-bias", token, "a token id")
            try require(!bias.isNaN && bias != .infinity, "logit-bias", bias, "a finite number or minus infinity")
        }
    }

    /// Whether no penalty raises a logit.
    var onlyLowers: Bool { repetitionPenalty >= 1 && frequencyPenalty >= 0 && presencePenalty >= 0 }

    /// Whether a penalty has any effect.
    var penalises: Bool {
        penaltyWindow > 0 && (repetitionPenalty != 1 || frequencyPenalty != 0 || presencePenalty != 0)
    }
}
