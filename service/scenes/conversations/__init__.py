"""Conversations about scenes: questions with true answers, captions, descriptions, small talk.

Every turn has its canonical answer, which an evaluation compares with. The wording varies, the
facts do not.

Answers are made for a language model of two million parameters: each word follows from one look at
the picture, or from the few words before it. A list of objects gives the place of each first, in
reading order, so that one look finds the next object. A conclusion comes last, after ``, so``.
"""
