// What counts as speech, on the command line.
import ArgumentParser
import SwiftletAudio

struct SpeechArguments: ParsableArguments {
    @Option(help: "Probability from which a window of 32 ms is speech.")
    var threshold = 0.5

    @Option(help: "Probability below which speech is silence again (default: the threshold less 0.15).")
    var negThreshold: Double?

    @Option(help: ArgumentHelp("Drop speech up to this length.", valueName: "ms"))
    var minSpeech = 250

    @Option(help: ArgumentHelp("Cut speech after so many seconds (default: never).", valueName: "s"))
    var maxSpeech: Double?

    @Option(help: ArgumentHelp("Silence that ends speech.", valueName: "ms"))
    var minSilence = 100

    @Option(help: ArgumentHelp("Added to speech on each side.", valueName: "ms"))
    var speechPad = 30

    @Option(help: ArgumentHelp("Silences longer than this are places to cut with --max-speech.", valueName: "ms"))
    var minSilenceForCut = 98

    @Flag(help: "With --max-speech, cut at the last silence, not the longest.")
    var cutAtLastSilence = false

    var settings: SpeechSettings {
        SpeechSettings(
            threshold: threshold, negativeThreshold: negThreshold, minimumSpeech: minSpeech, maximumSpeech: maxSpeech ?? .infinity,
            minimumSilence: minSilence, padding: speechPad, minimumSilenceForCut: minSilenceForCut, cutsAtLongestSilence: !cutAtLastSilence)
    }
}
