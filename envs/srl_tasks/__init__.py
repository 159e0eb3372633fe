"""The task environments that ship with srl-env; importing this package loads none of them."""

ENVIRONMENTS = {
    "srl/ModularChain-v0": "srl_tasks.modular_chain:ModularChainEnv",
    "srl/DefinitionGraph-v0": "srl_tasks.definition_graph:DefinitionGraphEnv",
    "srl/WordProblem-v0": "srl_tasks.word_problem:WordProblemEnv",
    "srl/ColumnArithmetic-v0": "srl_tasks.column_arithmetic:ColumnArithmeticEnv",
    "srl/GSM8K-v0": "srl_tasks.gsm8k:GSM8KEnv",
    "srl/NumberedSolutions-v0": "srl_tasks.numbered_solutions:NumberedSolutionsEnv",
    "srl/Steps-v0": "srl_tasks.steps:StepsEnv",
    "srl/ReasoningGym-v0": "srl_tasks.reasoning_gym:ReasoningGymEnv",
    "srl/GEM-v0": "srl_tasks.gem:GEMEnv",
    "srl/SWE-v0": "srl_tasks.swe.env:SWEEnv",
}
