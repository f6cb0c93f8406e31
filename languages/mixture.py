"""Language mixture: which share of the tokens each language gets.

p ~ n**temperature over token counts (arXiv 2509.06888 section 3.2 and appendix D; checked against the published counts:
the exponent is the temperature itself, so a lower one is flatter). Languages with a fixed share, in mmBERT English and
code, stand outside the sampling; the others divide what is left.
"""

import math
from collections.abc import Mapping


class LanguageMixture:
    """Sampling distribution over languages.

    Args:
        token_counts: Tokens available in each language; each must be above 0.
        temperature: Exponent, 0 or more. 1 keeps the corpus' shares, 0 gives every language the same.
        fixed_shares: Languages with a share of their own, each between 0 and 1.

    Raises:
        ValueError: If there is no language, a count is not above 0, the temperature is negative, or the fixed shares
            name an unknown language or leave nothing to the others.
    """

    def __init__(
        self,
        token_counts: Mapping[str, float],
        temperature: float,
        fixed_shares: Mapping[str, float] | None = None,
    ) -> None:
        fixed = dict(fixed_shares or {})
        if not token_counts:
            raise ValueError("a mixture needs at least one language, got none; is the corpus empty?")
        if not (math.isfinite(temperature) and temperature >= 0):
            raise ValueError(f"temperature must be 0 or more, got {temperature}; write 0.7 for p ~ n**0.7.")
        for language, tokens in token_counts.items():
            if not (math.isfinite(tokens) and tokens > 0):
                raise ValueError(f"language {language} has {tokens} tokens; it needs more than 0, so leave it out.")
        unknown = sorted(set(fixed) - set(token_counts))
        if unknown:
            raise ValueError(f"fixed share for {', '.join(unknown)}, of which the corpus has no text; drop the share.")
        total = sum(fixed.values())
        if any(not 0 < share <= 1 for share in fixed.values()) or total > 1 + 1e-9:
            raise ValueError(f"fixed shares must lie between 0 and 1 and sum to at most 1, got {fixed}.")
        if len(fixed) < len(token_counts) and total >= 1:
            raise ValueError(f"fixed shares of {total:g} leave nothing to the other languages; lower them.")
        self.token_counts = dict(token_counts)
        self.temperature = temperature
        self.fixed_shares = fixed

    def probabilities(self) -> dict[str, float]:
        """Return each language's share of the tokens.

        Returns:
            Shares above 0 that sum to 1, in the order of the counts.
        """
        sampled = [language for language in self.token_counts if language not in self.fixed_shares]
        # Relative to the largest, so that neither 10**12 tokens nor a temperature of 5 overflows.
        largest = max((self.token_counts[language] for language in sampled), default=1.0)
        weight = {language: (self.token_counts[language] / largest) ** self.temperature for language in sampled}
        left = 1.0 - sum(self.fixed_shares.values()) if sampled else 0.0
        scale = left / math.fsum(weight.values()) if sampled else 0.0
        fixed_scale = 1.0 if sampled else 1.0 / sum(self.fixed_shares.values())
        return {
            language: self.fixed_shares[language] * fixed_scale
            if language in self.fixed_shares
            else weight[language] * scale
            for language in self.token_counts
        }
