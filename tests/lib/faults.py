# SPDX-License-Identifier: Apache-2.0
"""The faults that tests/lib/faultproxy.py knows, one function each, and how they change an exchange.

A fault changes a Plan: what is done with one request on its way from the client to the store and with the answer on its
way back. A function of this table takes (plan, arguments, random); arguments is the rule's dictionary of strings and
numbers, random is made from the seed and from which match of the rule this is, so the same seed picks the same bytes."""
import re
import time


class Cut(Exception):
    """The connection ends here, for the client as for the store."""


class Plan:
    """What happens to one exchange. Stages in order: before, request, work, answer."""

    def __init__(self):
        self.names = []
        self.wait_before = 0.0        # seconds before the request goes on to the store
        self.wait_answer = 0.0        # seconds before the answer goes on to the client
        self.stall = None             # 'request' or 'answer': nothing moves any more before it
        self.cut = None               # 'request' or 'answer': the connection ends before it
        self.reset = True             # a cut is a TCP reset; otherwise an orderly end
        self.request_filters = []     # each takes (pieces, length) and yields pieces
        self.response_filters = []
        self.request_length = None    # takes the length of the body, gives the length announced
        self.response_length = None
        self.request_keep = None      # takes the length, gives how much is sent
        self.response_keep = None
        self.request_changes = []     # each changes a list of [name, value]
        self.response_changes = []
        self.rewrite = []             # each takes the whole body of an answer and gives another
        self.times = 1                # how often the store sees the request
        self.give = -1                # which of its answers the client sees
        self.answer = None            # (status, reason, headers, body) instead of the store's
        self.do_work = False          # the store gets the request though it is answered here
        self.other_object = False     # the answer to an earlier request for another key
        self.garbage = None           # bytes instead of an answer


FAULTS = {}


def fault(function):
    FAULTS[function.__name__] = function
    return function


def at(arguments, length, default=0.5):
    """Where in a body of length bytes: after=BYTES, or fraction=0..1. A body of unknown length: 1000 bytes in."""
    if 'after' in arguments:
        return int(arguments['after'])
    return 1000 if length is None else int(length * float(arguments.get('fraction', default)))


# -- connections that end ---------------------------------------------------------------------------------
@fault
def cut_before_request(plan, a, _):
    """The connection ends when the head of the request has come; the store hears nothing."""
    plan.cut, plan.reset = 'request', a.get('reset', '1') != '0'


@fault
def cut_request_body(plan, a, _):
    """The connection ends in the middle of the request's body (after=BYTES or fraction=)."""
    plan.reset = a.get('reset', '1') != '0'
    plan.request_filters.append(lambda pieces, n: cut_after(pieces, at(a, n)))


@fault
def cut_after_work(plan, a, _):
    """The store does the work and answers; the client gets nothing but the end of the connection."""
    plan.cut, plan.reset = 'answer', a.get('reset', '1') != '0'


@fault
def cut_response_body(plan, a, _):
    """The connection ends in the middle of the answer's body (after=BYTES or fraction=)."""
    plan.reset = a.get('reset', '1') != '0'
    plan.response_filters.append(lambda pieces, n: cut_after(pieces, at(a, n)))


@fault
def garbage(plan, a, _):
    """The store does the work; the client gets bytes that are not HTTP, then the end."""
    plan.garbage = a.get('bytes', '\x00\x16garbage\r\n').encode('latin-1')


# -- time -----------------------------------------------------------------------------------------------
@fault
def latency(plan, a, _):
    """Waits seconds= before the request goes on, or with where=answer before the answer does."""
    seconds = float(a.get('seconds', 1))
    if a.get('where') == 'answer':
        plan.wait_answer += seconds
    else:
        plan.wait_before += seconds


@fault
def trickle_request(plan, a, _):
    """The request's body moves at rate= bytes a second."""
    plan.request_filters.append(lambda pieces, _n: slowly(pieces, float(a.get('rate', 100))))


@fault
def trickle_response(plan, a, _):
    """The answer's body moves at rate= bytes a second."""
    plan.response_filters.append(lambda pieces, _n: slowly(pieces, float(a.get('rate', 100))))


@fault
def stall_before(plan, _a, _):
    """The request is taken and nothing happens any more: the store hears nothing, the client gets nothing."""
    plan.stall = 'request'


@fault
def stall_after_work(plan, _a, _):
    """The store does the work, but the answer never comes."""
    plan.stall = 'answer'


@fault
def stall_request(plan, a, _):
    """The request's body stops moving for good (after=BYTES or fraction=)."""
    plan.request_filters.append(lambda pieces, n: stop_after(pieces, at(a, n)))


@fault
def stall_response(plan, a, _):
    """The answer's body stops moving for good (after=BYTES or fraction=)."""
    plan.response_filters.append(lambda pieces, n: stop_after(pieces, at(a, n)))


# -- damage -----------------------------------------------------------------------------------------------
@fault
def flip_request(plan, a, random):
    """One bit of the request's body arrives wrong at the store (after=, fraction=, else where the seed says)."""
    plan.request_filters.append(lambda pieces, n: flip(pieces, at(a, n, random.random()), 1 << random.randrange(8)))


@fault
def flip_response(plan, a, random):
    """One bit of the answer's body arrives wrong at the client (after=, fraction=, else where the seed says)."""
    plan.response_filters.append(lambda pieces, n: flip(pieces, at(a, n, random.random()), 1 << random.randrange(8)))


@fault
def truncate_request(plan, a, _):
    """The store gets the first part of the body (fraction=, after=); with length=right Content-Length says so too,
    otherwise the body ends early. Headers that the client signed stay as they are."""
    plan.request_keep = lambda n: min(n, at(a, n))
    if a.get('length', 'right') == 'right':
        plan.request_length = plan.request_keep


@fault
def truncate_response(plan, a, _):
    """The client gets the first part of the body (fraction=, after=); with length=right Content-Length says so too,
    otherwise the connection ends early, in an orderly way."""
    plan.response_keep = lambda n: min(n, at(a, n))
    if a.get('length', 'right') == 'right':
        plan.response_length = plan.response_keep


@fault
def zero_response(plan, a, _):
    """The answer's body has the right length, but zeros from some point on (fraction=, after=)."""
    plan.response_filters.append(lambda pieces, n: zeros_from(pieces, at(a, n)))


@fault
def other_object(plan, _a, _):
    """The client gets a sound answer to an earlier GET or HEAD of another key (of the same method)."""
    plan.other_object = True


@fault
def lose_entry(plan, a, _):
    """A listing lacks the entries whose key matches entry= (a regular expression)."""
    pattern = re.compile(a.get('entry', '.').encode())

    def lose(body):
        def one(m):
            return b'' if pattern.search(re.search(rb'<Key>(.*?)</Key>', m.group(), re.S).group(1)) else m.group()
        return re.sub(rb'<Contents>.*?</Contents>', one, body, flags=re.S)
    plan.rewrite.append(lose)


# -- twice ------------------------------------------------------------------------------------------------
@fault
def repeat(plan, a, _):
    """The store gets the request times= (2) times, one after the other; the client sees the last answer, or with
    give=first the first."""
    plan.times = int(a.get('times', 2))
    plan.give = 0 if a.get('give') == 'first' else -1


# -- answers ----------------------------------------------------------------------------------------------
REASONS = {200: 'OK', 400: 'Bad Request', 403: 'Forbidden', 404: 'Not Found', 408: 'Request Timeout', 412: 'Precondition Failed',
           416: 'Range Not Satisfiable', 429: 'Too Many Requests', 500: 'Internal Server Error', 501: 'Not Implemented',
           502: 'Bad Gateway', 503: 'Service Unavailable', 504: 'Gateway Timeout', 507: 'Insufficient Storage'}


def error_answer(a, status, code, message='injected by the fault proxy'):
    status, code = int(a.get('status', status)), a.get('code', code)
    body = (f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message>'
            '<RequestId>fault</RequestId></Error>').encode()
    headers = [['Content-Type', 'application/xml']]
    if 'retry_after' in a:
        headers.append(['Retry-After', str(a['retry_after'])])
    return status, REASONS.get(status, 'Fault'), headers, body


def answers(name, status, code, what, **defaults):
    def one(plan, a, _):
        plan.answer = error_answer({**defaults, **a}, status, code)
        plan.do_work = a.get('work', '0') == '1'
    one.__doc__ = f'{what} With work=1 the store has done the work all the same. status=, code= and retry_after= change it.'
    FAULTS[name] = one


answers('slow_down', 503, 'SlowDown', 'Answers 503 SlowDown.')
answers('internal_error', 500, 'InternalError', 'Answers 500 InternalError.')
answers('bad_gateway', 502, 'BadGateway', 'Answers 502.')
answers('too_many', 429, 'TooManyRequests', 'Answers 429 with Retry-After: 1.', retry_after=1)
answers('skewed', 403, 'RequestTimeTooSkewed', 'Answers 403 RequestTimeTooSkewed.')
answers('expired', 400, 'ExpiredToken', 'Answers 400 ExpiredToken.')
answers('denied', 403, 'AccessDenied', 'Answers 403 AccessDenied.')
answers('request_timeout', 400, 'RequestTimeout', 'Answers 400 RequestTimeout.')
answers('not_found', 404, 'NoSuchKey', 'Answers 404 NoSuchKey.')
answers('no_bucket', 404, 'NoSuchBucket', 'Answers 404 NoSuchBucket.')
answers('full', 507, 'InsufficientStorage', 'Answers 507.')
answers('error_in_200', 200, 'InternalError', 'Answers 200 with an error as its body, as CompleteMultipartUpload and CopyObject may.')


@fault
def empty_ok(plan, a, _):
    """Answers 200 (status=) without a body and without headers; the store does nothing (work=1: it does)."""
    status = int(a.get('status', 200))
    plan.answer, plan.do_work = (status, REASONS.get(status, 'OK'), [], b''), a.get('work', '0') == '1'


@fault
def redirect(plan, a, _):
    """Answers 307 to to= (default: the same place)."""
    plan.answer = (307, 'Temporary Redirect', [['Location', a.get('to', '/')]], b'')


# -- headers ----------------------------------------------------------------------------------------------
@fault
def wrong_etag(plan, a, _):
    """The answer's ETag is another one (etag=)."""
    value = '"' + a.get('etag', '0123456789abcdef0123456789abcdef') + '"'
    plan.response_changes.append(lambda headers: set_header(headers, 'ETag', value))


@fault
def missing_etag(plan, _a, _):
    """The answer has no ETag."""
    plan.response_changes.append(lambda headers: drop_headers(headers, '^etag$'))


@fault
def drop_checksums(plan, _a, _):
    """The answer has no x-amz-checksum-* header."""
    plan.response_changes.append(lambda headers: drop_headers(headers, '^x-amz-checksum-'))


@fault
def drop_header(plan, a, _):
    """The answer lacks the headers that match name= (a regular expression, small letters)."""
    plan.response_changes.append(lambda headers: drop_headers(headers, a['name']))


@fault
def put_header(plan, a, _):
    """The answer has name= with value=."""
    plan.response_changes.append(lambda headers: set_header(headers, a['name'], a['value']))


def set_header(headers, name, value):
    drop_headers(headers, '^' + re.escape(name.lower()) + '$')
    headers.append([name, value])


def drop_headers(headers, pattern):
    headers[:] = [h for h in headers if not re.search(pattern, h[0].lower())]


# -- bodies -----------------------------------------------------------------------------------------------
class Stall(Exception):
    """Nothing moves any more, until the client or the proxy gives up."""


def cut_after(pieces, n):
    for p in pieces:
        if len(p) > n:
            yield p[:n]
            raise Cut()
        n -= len(p)
        yield p
    raise Cut()


def stop_after(pieces, n):
    for p in pieces:
        if len(p) > n:
            yield p[:n]
            raise Stall()
        n -= len(p)
        yield p
    raise Stall()


def slowly(pieces, rate):
    step = max(1, min(4096, int(rate / 10)))
    for p in pieces:
        for i in range(0, len(p), step):
            piece = p[i:i + step]
            yield piece
            time.sleep(len(piece) / rate)


def flip(pieces, n, bit):
    for p in pieces:
        if 0 <= n < len(p):
            p = p[:n] + bytes([p[n] ^ bit]) + p[n + 1:]
            n = -1
        elif n >= 0:
            n -= len(p)
        yield p


def zeros_from(pieces, n):
    for p in pieces:
        keep = max(0, min(n, len(p)))
        yield p[:keep] + bytes(len(p) - keep)
        n -= len(p)


def first_part(pieces, n):
    """The first n bytes; the rest is read and dropped."""
    for p in pieces:
        if n > 0:
            yield p[:n]
        n -= len(p)
