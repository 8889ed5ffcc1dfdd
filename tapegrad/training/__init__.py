from tapegrad.training.steps import Step
