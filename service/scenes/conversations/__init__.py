"""What is said about scenes: questions with their true answers, captions, descriptions, small talk.

Every turn carries the canonical answer, which the evaluation compares with; wording varies, facts do
not.

Answers are made for a language model of two million parameters: each word follows from one look at the
picture or from the few words before it. Whoever lists objects says the place first, in reading order, so that
one look finds the next object; what has to be reasoned out comes last, after ``, so``.
"""
