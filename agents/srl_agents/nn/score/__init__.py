"""Log-probabilities of token trees under a Hugging Face causal language model.

``make_decoder(model).token_logprobs(prefixes, continuations)`` computes each shared beginning
once; ``decoder.score(tree)`` is the same on padded tensors, with any choice of tokens.
"""

from srl_agents.nn.score.choice import make_decoder
from srl_agents.nn.score.decoder import Decoder, Other, States, TokenScores
from srl_agents.nn.score.plain import PlainDecoder
from srl_agents.nn.score.shared_prefix import SharedPrefixDecoder
from srl_agents.nn.tree import Continuation, TokenTree, shared_prefixes, tree_of

__all__ = [
    "Continuation",
    "Decoder",
    "Other",
    "PlainDecoder",
    "SharedPrefixDecoder",
    "States",
    "TokenScores",
    "TokenTree",
    "make_decoder",
    "shared_prefixes",
    "tree_of",
]
