// The prompt of speed measurements: plain prose, repeated to any length.
//
// The time of a token depends on the text a little: of the logits only those near the largest are computed in full (`Linear.isRanked`), which are many where a
// model has no idea what comes next, as after tokens at random.
import SwiftletLanguage

package enum BenchmarkPrompt {
    private static let text = """
        The valley lay quiet in the early morning, and the first carts were already on the road to the market. A miller who had risen before the sun counted his \
        sacks, found one too few, and counted them again. Nobody in the village could remember a harvest as late as this one; the rain had kept the fields wet \
        until the end of August, and the barley was still green when the swallows left. In the school at the upper end of the street the children learned about \
        rivers and mountains, about the distance to the moon, and about the kings whose names were cut into the stones of the old bridge. Their teacher, who had \
        once worked in a shipyard, liked to explain how a boat of iron can float: it pushes aside as much water as it weighs, she said, and drew a line on the \
        blackboard to show how deep it would lie. Some of them wrote this down, others looked out of the window, where a dog had chased a cat into the only apple \
        tree of the yard. At noon the bell rang twelve times. The baker sold the last of his bread, a doctor came by on her bicycle, and two engineers from the \
        city began to measure the slope above the stream, because a small power station was to be built there in the following year. It would give light to three \
        hundred houses, they said, and cost less than the new road. In the evening, when the wind turned and the air grew cold, people sat together in the inn \
        and argued about what it would change.

        """

    /// `count` tokens of the text in the model’s own tokens; zeros where its tokenizer makes none.
    package static func tokens(_ count: Int, of model: LanguageModel) -> [Int32] {
        let once = model.tokenizer.encode(text, addSpecial: false, parseSpecial: false)
        guard !once.isEmpty else { return [Int32](repeating: 0, count: count) }
        return (0..<count).map { once[$0 % once.count] }
    }
}
