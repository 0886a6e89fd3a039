"""Text classification tasks of the paper that are one table each, as published.

They are those of Houlsby et al. (2019), section 3.3 and table 3, apart from the
20 newsgroups. Where each comes from, how many rows it has, and which of the files were
seen whole: docs/data.md.
"""

import dataclasses
from collections.abc import Mapping

from adapters_tf.data.files import FileFormat


@dataclasses.dataclass(frozen=True)
class TextLayout:
    """One text classification task in its public file.

    Attributes:
        files: Names under which the file is published; any one of them.
        format: Its column of texts and that of the answers.
        answers: The class of each answer. The answers are patterns as of `fnmatch`,
            the order of the classes is that of their indices. Empty where the
            classes are those that occur in the file, in natural order.
        left_out: Answers, as patterns, that are no class: their rows are left out.
        folder: The name of the folder, if not the task's.
    """

    files: tuple[str, ...]
    format: FileFormat
    answers: Mapping[str, str]
    left_out: tuple[str, ...] = ()
    folder: str = ""

    @property
    def labels(self) -> tuple[str, ...]:
        """The class names in the order of their indices, if they are known."""
        return tuple(dict.fromkeys(self.answers.values()))


def _as_written(*names: str) -> dict[str, str]:
    return {name: name for name in names}


def _lower(*names: str) -> dict[str, str]:
    return {name: name.lower().replace(" ", "_") for name in names}


_POLITICAL = ("political_social_media.csv", "Political-media-DFE.csv")
_PROGRESSIVE = ("progressive-tweet-sentiment.csv",)
_STANCE = (
    "q1_from_reading_the_tweet_which_of_the_options_below_is_most_likely_to_be_true_"
    "about_the_stance_or_outlook_of_the_tweeter_towards_the_target"
)
_OPINION = "q2_which_of_the_options_below_is_true_about_the_opinion_in_the_tweet"

TEXT_LAYOUTS: dict[str, TextLayout] = {
    "cf_airline": TextLayout(
        ("Tweets.csv", "Airline-Sentiment-2-w-AA.csv"),
        FileFormat(("text",), "airline_sentiment", ","),
        _as_written("negative", "neutral", "positive"),
    ),
    "cf_corporate_messaging": TextLayout(
        ("Corporate-messaging-DFE.csv",),
        FileFormat(("text",), "category", ","),
        _lower("Action", "Dialogue", "Exclude", "Information"),
    ),
    "cf_disasters": TextLayout(
        ("socialmedia-disaster-tweets-DFE.csv",),
        FileFormat(("text",), "choose_one", ","),
        _lower("Not Relevant", "Relevant"),
        left_out=("Can't Decide",),
    ),
    "cf_economic_news": TextLayout(
        ("Full-Economic-News-DFE-839861.csv", "Full-Economic-News-DFE.csv"),
        FileFormat(("text",), "relevance", ","),
        _as_written("no", "yes"),
        left_out=("not sure",),
    ),
    "cf_emotion": TextLayout(
        ("text_emotion.csv",),
        FileFormat(("content",), "sentiment", ","),
        _as_written(
            "anger",
            "boredom",
            "empty",
            "enthusiasm",
            "fun",
            "happiness",
            "hate",
            "love",
            "neutral",
            "relief",
            "sadness",
            "surprise",
            "worry",
        ),
    ),
    "cf_global_warming": TextLayout(
        ("1377884570_tweet_global_warming.csv", "tweet_global_warming.csv"),
        FileFormat(("tweet",), "existence", ","),
        {"No": "no", "N": "no", "Yes": "yes", "Y": "yes"},
        left_out=("N/A", "NA"),
    ),
    "cf_political_audience": TextLayout(
        _POLITICAL,
        FileFormat(("text",), "audience", ","),
        _as_written("constituency", "national"),
        folder="cf_political",
    ),
    "cf_political_bias": TextLayout(
        _POLITICAL,
        FileFormat(("text",), "bias", ","),
        _as_written("neutral", "partisan"),
        folder="cf_political",
    ),
    "cf_political_message": TextLayout(
        _POLITICAL,
        FileFormat(("text",), "message", ","),
        _as_written(
            "attack",
            "constituency",
            "information",
            "media",
            "mobilization",
            "other",
            "personal",
            "policy",
            "support",
        ),
        folder="cf_political",
    ),
    "cf_primary_emotions": TextLayout(
        ("primary-plutchik-wheel-DFE.csv",),
        FileFormat(("sentence",), "emotion", ","),
        _lower(
            "Aggression",
            "Ambiguous",
            "Anger",
            "Anticipation",
            "Awe",
            "Contempt",
            "Disapproval",
            "Disgust",
            "Fear",
            "Joy",
            "Love",
            "Neutral",
            "Optimism",
            "Remorse",
            "Sadness",
            "Submission",
            "Surprise",
            "Trust",
        ),
    ),
    "cf_progressive_opinion": TextLayout(
        _PROGRESSIVE,
        FileFormat(("tweet",), _OPINION, ","),
        # Each answer is a sentence; its number is the same in all rows.
        {"1.*": "about_the_target", "2.*": "about_something_else", "3.*": "none"},
        folder="cf_progressive",
    ),
    "cf_progressive_stance": TextLayout(
        _PROGRESSIVE,
        FileFormat(("tweet",), _STANCE, ","),
        {
            "AGAINST:*": "against",
            "FOR:*": "for",
            "NEUTRAL:*": "neutral",
            "NONE OF THE ABOVE:*": "none",
        },
        folder="cf_progressive",
    ),
    "cf_us_economic_performance": TextLayout(
        ("us-economic-newspaper.csv",),
        FileFormat(("text",), "relevance", ","),
        _as_written("no", "yes"),
        left_out=("not sure",),
    ),
    # The paper counts 157 classes. No other column than the issue has about as many.
    "customer_complaints": TextLayout(
        ("Consumer_Complaints.csv", "complaints.csv"),
        FileFormat(("Consumer complaint narrative",), "Issue", ","),
        {},
    ),
    "news_aggregator": TextLayout(
        ("newsCorpora.csv",),
        FileFormat(("1",), "4", "\t", header=False),
        {"b": "business", "e": "entertainment", "m": "health", "t": "technology"},
    ),
    "sms_spam": TextLayout(
        ("SMSSpamCollection", "SMSSpamCollection.txt"),
        FileFormat(("1",), "0", "\t", header=False),
        _as_written("ham", "spam"),
    ),
}
