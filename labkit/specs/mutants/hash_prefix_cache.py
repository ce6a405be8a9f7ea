"""Wrong and right implementations for lesson 07."""

from __future__ import annotations

from labkit.grading.mutants import Mutant, Right


def _chain(body: str) -> str:
    return f"def chain_hashes(tokens, page_bytes, salt=b'', hash_block=hash):\n    {body}\n"


_CUT = "pages = [tokens[i:i + page_bytes] for i in range(0, len(tokens) - page_bytes + 1, page_bytes)]"


def _chain_loop(cut: str = _CUT,
                salt: str = "if pages:\n        pages[0] = salt + pages[0]", parent: str = "None",
                step: str = "parent = hash_block((parent, page))\n        hashes.append(parent)",
                end: str = "return hashes, pages") -> str:
    loop = f"hashes, parent = [], {parent}\n    for page in pages:\n        {step}\n    {end}"
    return _chain(f"{cut}\n    {salt}\n    {loop}")


_COVERS, _SALT, _FULL, _PAGES = ("a-hash-covers-all-before-it", "salt-reaches-every-hash", "full-blocks-only",
                                 "pages-are-what-was-hashed")
_CHAIN = [
    ("no-chain", _COVERS, _chain_loop(step="hashes.append(hash_block((None, page)))"),
     "Each block is hashed for itself, so the same tokens match wherever they stand and whatever came before."),
    ("parent-never-moves", _COVERS, _chain_loop(step="hashes.append(hash_block((parent, page)))"),
     "The hash of the block before is never carried on: every block hangs from the start."),
    ("hashes-the-page-only", _COVERS, _chain_loop(step="hashes.append(hash_block(page))"),
     "Only the tokens are handed to the hash, and not the pair with what stands before them."),
    ("previous-page", _COVERS, _chain_loop(step="hashes.append(hash_block((parent, page)))\n        parent = page"),
     "The block before is carried on by its tokens alone, so what stands two blocks earlier is in no hash."),
    ("pair-swapped", _COVERS, _chain_loop(step="parent = hash_block((page, parent))\n        hashes.append(parent)"),
     "The pair is the hash of the block before and then the tokens; here they stand the other way round."),
    ("starts-from-zero", _COVERS, _chain_loop(parent="0"),
     "Before the first block stands None; a number is a hash that some block could have."),
    ("starts-from-empty", _COVERS, _chain_loop(parent="b''"),
     "Before the first block stands None; empty bytes are another start, and others will not find these blocks."),
    ("builtin-hash", _COVERS, _chain_loop(step="parent = hash((parent, page))\n        hashes.append(parent)"),
     "The hash function is a parameter, and the built-in one was called in its place."),
    ("whole-prefix", _COVERS, _chain("""n = len(tokens) // page_bytes
    pages = [tokens[i * page_bytes:(i + 1) * page_bytes] for i in range(n)]
    if pages:
        pages[0] = salt + pages[0]
    return [hash_block((None, b''.join(pages[:i + 1]))) for i in range(n)], pages"""),
     "Hashing all tokens so far is no chain: each hash starts over, and a long prompt costs the square of its length."),
    ("one-behind", _COVERS, _chain_loop(step="hashes.append(parent)\n        parent = hash_block((parent, page))"),
     "The hash is noted before it is made: each block gets that of the one before."),
    ("backwards", _COVERS, _chain("""n = len(tokens) // page_bytes
    pages = [tokens[i * page_bytes:(i + 1) * page_bytes] for i in range(n)]
    if pages:
        pages[0] = salt + pages[0]
    hashes, parent = [], None
    for page in reversed(pages):
        parent = hash_block((parent, page))
        hashes.insert(0, parent)
    return hashes, pages"""),
     "The chain runs from the end to the front, so a hash covers what comes after its block and not what came before."),
    ("no-salt", _SALT, _chain_loop(salt="pass"),
     "The salt is never used, so two tenants with the same tokens share their blocks."),
    ("salt-everywhere", _SALT, _chain_loop(salt="pages = [salt + page for page in pages]"),
     "The salt stands in front of every block; once is enough, because the chain carries it on."),
    ("salt-on-the-last", _SALT, _chain_loop(salt="if pages:\n        pages[-1] = salt + pages[-1]"),
     "The salt goes into the last block, and all blocks before it are shared between tenants."),
    ("salt-behind", _SALT, _chain_loop(salt="if pages:\n        pages[0] = pages[0] + salt"),
     "The salt stands behind the tokens of the first block, where a tenant could write it as tokens."),
    ("salt-as-parent", _SALT, _chain_loop(salt="pass", parent="salt or None"),
     "The salt stands where the hash of a block before would stand; it belongs in front of the first block's tokens."),
    ("salt-shifts-the-blocks", _SALT, _chain_loop(
        cut="tokens = salt + tokens\n    " + _CUT, salt="pass"),
     "Salt in front of the whole prompt shifts every block edge; it belongs to the first block after cutting."),
    ("part-filled-too", _FULL, _chain_loop(
        cut="pages = [tokens[i:i + page_bytes] for i in range(0, len(tokens), page_bytes)]"),
     "The part-filled block at the end is hashed as well, and its content will still change."),
    ("drops-the-last", _FULL, _chain_loop(
        cut="pages = [tokens[i:i + page_bytes] for i in range(0, len(tokens) - page_bytes, page_bytes)]"),
     "The range ends one block early where the tokens fill their blocks exactly."),
    ("short-prompt-crashes", _FULL, _chain_loop(salt="pages[0] = salt + pages[0]"),
     "A prompt that fills no block has no first block to put the salt in front of."),
    ("salt-alone", _FULL, _chain_loop(salt="if salt and not pages:\n        pages = [salt]\n    elif pages:\n"
                                           "        pages[0] = salt + pages[0]"),
     "A prompt that fills no block has no hash, and a salt is no block."),
    ("pages-without-salt", _PAGES, _chain(_CUT + """
    hashes, parent = [], None
    for i, page in enumerate(pages):
        parent = hash_block((parent, page if i else salt + page))
        hashes.append(parent)
    return hashes, pages"""),
     "The first page was hashed with the salt and is handed back without it, so comparing pages would mix tenants."),
    ("pages-of-the-whole-prefix", _PAGES, _chain_loop(
        end="return hashes, [b''.join(pages[:i + 1]) for i in range(len(pages))]"),
     "Each page is the tokens of its own block; the chain takes care of what stands before."),
    ("pages-with-the-rest", _PAGES, _chain_loop(end="return hashes, pages + [tokens[len(hashes) * page_bytes:]]"),
     "There is one page for each hash; what is left over at the end has neither."),
    ("a-list-for-a-pair", "raised", _chain_loop(
        step="parent = hash_block([parent, page])\n        hashes.append(parent)"),
     "A list can be changed and so has no hash in Python; the pair is a tuple."),
    ("pages-with-their-hash", "wrong-type", _chain_loop(
        step="parent = hash_block((parent, page))\n        hashes.append(parent)",
        end="return hashes, list(zip(hashes, pages))"),
     "A page is the bytes alone; its hash stands in the other list."),
    ("only-hashes", _COVERS, _chain_loop(end="return hashes"),
     "Two lists are due: the hashes, and the pages that they were made from."),
]


def _hit(body: str) -> str:
    return f"def longest_hit(hashes, cached, limit):\n    {body}\n"


_STOPS, _LIMIT, _EVERY, _ZERO, _ORDER = ("stops-at-the-first-miss", "limit-is-kept", "every-leading-hit-counts",
                                         "block-0-is-a-block", "blocks-in-order")
_HIT = [
    ("skips-misses", _STOPS, "return [cached[key] for key in hashes[:limit] if key in cached]",
     "A miss is passed over and what stands behind it is taken: the prefix gets a hole that nobody fills."),
    ("continue-for-break", _STOPS, """hit = []
    for key in hashes[:limit]:
        if key not in cached:
            continue
        hit.append(cached[key])
    return hit""",
     "continue goes on to the next hash after a miss, where the search has to end."),
    ("last-hit-wins", _STOPS, """n = 0
    for i, key in enumerate(hashes[:limit]):
        if key in cached:
            n = i + 1
    return [cached.get(key) for key in hashes[:n]]""",
     "The last cached hash is taken for the end of the prefix, whatever is missing before it."),
    ("bisects", _STOPS, """low, high = 0, min(limit, len(hashes))
    while low < high:
        middle = (low + high + 1) // 2
        if hashes[middle - 1] in cached:
            low = middle
        else:
            high = middle - 1
    return [cached[key] for key in hashes[:low] if key in cached]""",
     "Halving the range assumes that everything before a hit is a hit, which is what had to be found out."),
    ("from-the-end", _STOPS, """for n in range(min(limit, len(hashes)), 0, -1):
        if hashes[n - 1] in cached:
            return [cached.get(key) for key in hashes[:n]]
    return []""",
     "Looking from the end finds the longest end that is cached; the beginning in front of it may be missing."),
    ("none-in-the-answer", _STOPS, "return [cached.get(key) for key in hashes[:limit]]",
     "Misses stay in the answer as None, and attention would be sent to no block at all."),
    ("no-limit", _LIMIT, """hit = []
    for key in hashes:
        if key not in cached:
            break
        hit.append(cached[key])
    return hit""",
     "limit is never used: a prompt that is cached to its end leaves no token to compute."),
    ("limit-plus-one", _LIMIT, """hit = []
    for key in hashes[:limit + 1]:
        if key not in cached:
            break
        hit.append(cached[key])
    return hit""",
     "One block more than the limit is taken, and with it the token that had to be left."),
    ("limit-checked-after", _LIMIT, """hit = []
    for key in hashes:
        if key not in cached:
            break
        hit.append(cached[key])
        if len(hit) >= limit:
            break
    return hit""",
     "The limit is looked at after a block was taken, so with limit 0 there is one hit."),
    ("zero-means-all", _LIMIT, """hit = []
    for key in hashes[:limit or None]:
        if key not in cached:
            break
        hit.append(cached[key])
    return hit""",
     "A limit of 0 is read as no limit, and means that nothing may be a hit."),
    ("limit-minus-one", _EVERY, """hit = []
    for key in hashes[:max(0, limit - 1)]:
        if key not in cached:
            break
        hit.append(cached[key])
    return hit""",
     "One hash fewer than the limit is looked at, though the limit leaves the last token out already: a whole block is "
     "computed again for nothing."),
    ("drops-the-last-hit", _EVERY, """hit = []
    for key in hashes[:limit]:
        if key not in cached:
            return hit[:-1]
        hit.append(cached[key])
    return hit""",
     "At the first miss the last hit is thrown away with it."),
    ("stops-before-the-last", _EVERY, """hit, i = [], 0
    while i < min(limit, len(hashes)) - 1 and hashes[i] in cached:
        hit.append(cached[hashes[i]])
        i += 1
    return hit""",
     "The loop ends one hash early."),
    ("leaves-the-last-hash", _EVERY, """hit = []
    for key in hashes[:min(limit, len(hashes) - 1)]:
        if key not in cached:
            break
        hit.append(cached[key])
    return hit""",
     "The last hash is never looked at, though the limit allows it: behind the last full block there may be more tokens."),
    ("needs-all", _EVERY, """if not all(key in cached for key in hashes[:limit]):
        return []
    return [cached[key] for key in hashes[:limit]]""",
     "A prefix that is cached in part is worth its part; here it is all or nothing."),
    ("first-only", _EVERY, "return [cached[hashes[0]]] if hashes and limit and hashes[0] in cached else []",
     "Only the first block is looked up; the others of the prefix are cached as well."),
    ("past-the-end", _EVERY, """hit = []
    for i in range(limit):
        if hashes[i] not in cached:
            break
        hit.append(cached[hashes[i]])
    return hit""",
     "The limit may be larger than the number of hashes, and the loop runs past their end."),
    ("zero-is-false", _ZERO, """hit = []
    for key in hashes[:limit]:
        block = cached.get(key)
        if not block:
            break
        hit.append(block)
    return hit""",
     "Hit or miss is told by the number of the block, and 0 passes for a miss: it is the first block of the pool."),
    ("zero-filtered", _ZERO, """hit = []
    for key in hashes[:limit]:
        if key not in cached:
            break
        hit.append(cached[key])
    return [block for block in hit if block]""",
     "Filtering out what is false drops block 0 from the middle of the prefix."),
    ("greater-than-zero", _ZERO, """hit = []
    for key in hashes[:limit]:
        if cached.get(key, 0) <= 0:
            break
        hit.append(cached[key])
    return hit""",
     "0 stands for a miss here, and is the id of a block."),
    ("counts", "wrong-type", """n = 0
    while n < min(limit, len(hashes)) and hashes[n] in cached:
        n += 1
    return n""",
     "The caller needs the blocks, in order to hold them, and not how many there are."),
    ("hashes-for-blocks", "wrong-type", """hit = []
    for key in hashes[:limit]:
        if key not in cached:
            break
        hit.append(key)
    return hit""",
     "The answer is what the hashes lead to, and not the hashes."),
    ("sorted", _ORDER, """hit = []
    for key in hashes[:limit]:
        if key not in cached:
            break
        hit.append(cached[key])
    return sorted(hit)""",
     "Sorting the ids loses which block holds which tokens."),
    ("a-set", "wrong-type", """hit = set()
    for key in hashes[:limit]:
        if key not in cached:
            break
        hit.add(cached[key])
    return hit""",
     "A set has no order, and the order is what the block table is made of."),
    ("in-the-order-of-the-cache", _ORDER, """n = 0
    while n < min(limit, len(hashes)) and hashes[n] in cached:
        n += 1
    return [block for key, block in cached.items() if key in hashes[:n]]""",
     "The blocks come in the order in which they were cached, and not in the order of the prompt."),
    ("reversed", _ORDER, """hit = []
    for key in hashes[:limit]:
        if key not in cached:
            break
        hit.insert(0, cached[key])
    return hit""",
     "Each hit is put in front of the ones before it, so the prompt stands backwards in the table."),
    ("eats-the-cache", "changed-inputs", """hit = []
    for key in hashes[:limit]:
        if key not in cached:
            break
        hit.append(cached.pop(key))
    return hit""",
     "pop takes the hash out of the cache: the next request finds nothing, and lookup must change nothing."),
]

_REGISTER = """for key, block in zip(hashes, blocks):
            if block not in self.hash_of:
                self.hash_of[block] = key
                self.by_hash.add(key, block)"""
_RELEASE = """for block in self.refs.drop(reversed(blocks)):
            if block in self.hash_of:
                self.queue.append(block)
            else:
                self.refs.recycle([block])"""


def _queue(register: str = _REGISTER, release: str = _RELEASE, head: str = "") -> str:
    return f"""class QueuePrefixCache(QueueCacheBase):{head}
    def register(self, hashes, blocks):
        {register}

    def release(self, blocks):
        {release}
"""


_HELD, _FINDS, _COUNTS, _LOST, _FINDABLE, _STAYS, _REST, _TAIL, _OLDEST, _TWINS, _ONCE = (
    "held-blocks-stay", "finds-what-the-hash-says", "counts-the-holders", "no-block-is-lost",
    "full-blocks-become-findable", "stays-findable-after-release", "the-rest-goes-back", "tail-goes-first",
    "longest-unused-goes-first", "twins-are-kept", "registered-once")
_QUEUE = [
    ("queues-what-is-held", _HELD, _queue(release="""gone = self.refs.drop(reversed(blocks))
        for block in reversed(blocks):
            if block in self.hash_of:
                if block not in self.queue:
                    self.queue.append(block)
            elif block in gone:
                self.refs.recycle([block])"""),
     "Every registered block of the sequence enters the queue, also those that another sequence still holds."),
    ("free-then-queue", _LOST, _queue(release="""self.refs.free(reversed(blocks))
        for block in reversed(blocks):
            if block in self.hash_of and not self.refs.count(block):
                self.queue.append(block)"""),
     "free returns the blocks to the pool, and then they stand in the queue as well: two places for one block."),
    ("swapped-hashes", _FINDS, _queue(register="""for key, block in zip(reversed(hashes), blocks):
            if block not in self.hash_of:
                self.hash_of[block] = key
                self.by_hash.add(key, block)"""),
     "The hashes run backwards and the blocks forwards, so a hash leads to the block of another part of the prompt."),
    ("tail-of-the-blocks", _FINDS, _queue(register="""last = blocks[len(blocks) - len(hashes):]
        for key, block in zip(hashes, last):
            if block not in self.hash_of:
                self.hash_of[block] = key
                self.by_hash.add(key, block)"""),
     "The hashes are paired with the last blocks; with a part-filled one at the end everything is off by one."),
    ("new-ones-get-the-first-hashes", _FINDS, _queue(register="""
        new = [block for block in blocks if block not in self.hash_of]
        for key, block in zip(hashes, new):
            self.hash_of[block] = key
            self.by_hash.add(key, block)"""),
     "The blocks that are new are paired with the first hashes, which belong to the blocks that were hit."),
    ("never-drops", _COUNTS, _queue(release="""for block in reversed(blocks):
            if self.refs.count(block) == 0:
                if block in self.hash_of:
                    self.queue.append(block)
                else:
                    self.refs.recycle([block])"""),
     "Nobody tells refs that the sequence lets go, so every block stays held for good."),
    ("drops-only-the-registered", _COUNTS, _queue(release="""full = [b for b in reversed(blocks) if b in self.hash_of]
        for block in self.refs.drop(full):
            self.queue.append(block)"""),
     "The part-filled block at the end is never let go of."),
    ("forgets-the-rest", _REST, _queue(release="""for block in self.refs.drop(reversed(blocks)):
            if block in self.hash_of:
                self.queue.append(block)"""),
     "What has no hash is dropped and never recycled: held by nobody, in no queue and not in the pool."),
    ("queues-everything", _REST, _queue(release="""for block in self.refs.drop(reversed(blocks)):
            self.queue.append(block)"""),
     "Blocks without a hash enter the queue as well, where an eviction looks for a hash that they do not have."),
    ("recycles-everything", _STAYS, _queue(release="self.refs.free(reversed(blocks))"),
     "Everything goes back to the pool, so what was cached is gone with its last holder."),
    ("recycles-only-the-last", _STAYS, _queue(release="""unheld = self.refs.drop(reversed(blocks))
        for block in unheld[1:]:
            if block in self.hash_of:
                self.queue.append(block)
            else:
                self.refs.recycle([block])
        self.refs.recycle(unheld[:1])"""),
     "The last block is taken for the part-filled one and recycled, also where it is full and registered."),
    ("forgets-hashes-on-release", _STAYS, _queue(release="""for block in self.refs.drop(reversed(blocks)):
            if block in self.hash_of:
                self.by_hash.remove(self.hash_of.pop(block), block)
            self.refs.recycle([block])"""),
     "The content is forgotten as soon as nobody holds the block, which is when a cache begins to be of use."),
    ("all-but-the-last", _FINDABLE, _queue(register="""for key, block in zip(hashes[:-1], blocks):
            if block not in self.hash_of:
                self.hash_of[block] = key
                self.by_hash.add(key, block)"""),
     "The last full block is left out; it is full, and as good as the others."),
    ("only-by-block", _FINDABLE, _queue(register="""for key, block in zip(hashes, blocks):
            self.hash_of[block] = key"""),
     "The block knows its hash, and the hash does not know the block, so lookup finds nothing."),
    ("stops-at-a-known-block", _FINDABLE, _queue(register="""for key, block in zip(hashes, blocks):
            if block in self.hash_of:
                break
            self.hash_of[block] = key
            self.by_hash.add(key, block)"""),
     "The loop ends at the first block that is registered, and those are the first ones of a sequence."),
    ("needs-equal-lengths", _FINDABLE, _queue(register="""for i in range(len(blocks)):
            if blocks[i] not in self.hash_of:
                self.hash_of[blocks[i]] = hashes[i]
                self.by_hash.add(hashes[i], blocks[i])"""),
     "There can be one block more than hashes, the part-filled one, and the loop asks for its hash."),
    ("head-first", _TAIL, _queue(release="""for block in self.refs.drop(blocks):
            if block in self.hash_of:
                self.queue.append(block)
            else:
                self.refs.recycle([block])"""),
     "The first block of the sequence enters the queue first and is evicted first; what continues it is then useless."),
    ("sorted-ids", _TAIL, _queue(release="""for block in sorted(self.refs.drop(blocks)):
            if block in self.hash_of:
                self.queue.append(block)
            else:
                self.refs.recycle([block])"""),
     "The number of a block says nothing about its place in the sequence."),
    ("sorted-ids-down", _TAIL, _queue(release="""for block in sorted(self.refs.drop(blocks), reverse=True):
            if block in self.hash_of:
                self.queue.append(block)
            else:
                self.refs.recycle([block])"""),
     "The blocks are let go of in the order of their numbers, which says nothing about their places in the sequence."),
    ("longest-hash-first", "raised", _queue(release="""gone = self.refs.drop(blocks)
        for block in sorted(gone, key=lambda b: -len(self.hash_of.get(b, ""))):
            if block in self.hash_of:
                self.queue.append(block)
            else:
                self.refs.recycle([block])"""),
     "Only the hashes of the check are words that grow; the order of the blocks is known from the list itself."),
    ("greatest-hash-first", "raised", _queue(release="""gone = self.refs.drop(blocks)
        for block in sorted(gone, key=lambda b: self.hash_of.get(b, ""), reverse=True):
            if block in self.hash_of:
                self.queue.append(block)
            else:
                self.refs.recycle([block])"""),
     "Which of two hashes is greater says nothing about which block came first."),
    ("newest-in-front", _OLDEST, _queue(release="""older = []
        while len(self.queue):
            older.append(self.queue.popleft())
        for block in self.refs.drop(reversed(blocks)):
            if block in self.hash_of:
                self.queue.append(block)
            else:
                self.refs.recycle([block])
        for block in older:
            self.queue.append(block)"""),
     "What was let go of last stands in front and is evicted first: a queue is not a stack."),
    ("one-of-each-content", _TWINS, _queue(register="""for key, block in zip(hashes, blocks):
            if block not in self.hash_of and self.by_hash.get(key) is None:
                self.hash_of[block] = key
                self.by_hash.add(key, block)"""),
     "A block whose content another block holds is never registered; when the other is evicted the content is gone, "
     "and what continues it is orphaned."),
    ("last-writer-wins", _TWINS, _queue(register="""for key, block in zip(hashes, blocks):
            if block not in self.hash_of:
                other = self.by_hash.get(key)
                if other is not None:
                    self.by_hash.remove(key, other)
                    del self.hash_of[other]
                self.hash_of[block] = key
                self.by_hash.add(key, block)"""),
     "The newer of two blocks with the same content takes the hash away from the older one."),
    ("remembers-what-was-registered", _FINDABLE, _queue(head="\n    seen = {}\n", register="""
        for key, block in zip(hashes, blocks):
            if self.seen.get(block) != key:
                self.seen[block] = key
                self.hash_of[block] = key
                self.by_hash.add(key, block)"""),
     "A memory of its own says that the block is registered, and does not notice that it was evicted since."),
    ("bumps-twins", _OLDEST, _queue(release="""for block in self.refs.drop(reversed(blocks)):
            if block in self.hash_of:
                twin = self.by_hash.get(self.hash_of[block])
                if twin in self.queue:
                    self.queue.remove(twin)
                    self.queue.append(twin)
                self.queue.append(block)
            else:
                self.refs.recycle([block])"""),
     "Letting go of a block moves another one to the back of the queue, which nobody has used."),
    ("adds-again", _ONCE, _queue(register="""for key, block in zip(hashes, blocks):
            self.hash_of[block] = key
            self.by_hash.add(key, block)"""),
     "A block that is registered already is added once more, and one eviction takes out one of two entries."),
    ("touches-the-queue", _LOST, _queue(release="""for block in self.refs.drop(reversed(blocks)):
            if block in self.hash_of:
                if len(self.queue):
                    self.queue.append(block)
                elif block == blocks[0]:
                    self.queue.append(block)
            else:
                self.refs.recycle([block])"""),
     "Some registered blocks enter no queue and no pool, and nobody can ever have them again."),
    ("one-drop-for-each", _COUNTS, _queue(release="""for block in reversed(blocks):
            self.refs.drop([block])
            while self.refs.count(block):
                self.refs.drop([block])
            if block in self.hash_of:
                self.queue.append(block)
            else:
                self.refs.recycle([block])"""),
     "The block is dropped until nobody holds it, for all its other holders as well."),
]


def _prompt(body: str) -> str:
    return f"def allocate_prompt(cache, hashes, num_tokens, block_size):\n    {body}\n"


def _prompt_parts(hit: str = "hit = cache.lookup(hashes, (num_tokens - 1) // block_size)",
                  need: str = "fresh = blocks_needed(num_tokens, block_size) - len(hit)",
                  room: str = "if fresh > cache.num_available - cache.num_unheld(hit):\n        return None",
                  take: str = "cache.hold(hit)\n    blocks = hit + cache.allocate(fresh)",
                  publish: str = "cache.register(hashes, blocks)",
                  end: str = "return blocks, len(hit) * block_size") -> str:
    return _prompt("\n    ".join([hit, need, room, take, publish, end]))


_REFUSED, _ONLY, _ONE, _USES, _ROOM, _ANSWERS = (
    "refused-means-unchanged", "refuses-only-without-room", "one-token-is-left", "uses-what-is-cached",
    "room-for-every-token", "answers-blocks-and-cached-tokens")
_PROMPT = [
    ("allocates-before-holding", _HELD, _prompt_parts(take="""more = cache.allocate(fresh)
    cache.hold(hit)
    blocks = hit + more"""),
     "The blocks that were found are not yet held when the fresh ones are taken, and may be evicted for them."),
    ("hits-count-as-room", _ONLY, _prompt_parts(room="if fresh > cache.num_available:\n        return None"),
     "The blocks that were found are counted as free room, and no longer are once they are held."),
    ("holds-then-asks", _REFUSED, _prompt_parts(room="cache.hold(hit)\n    more = cache.allocate(fresh)\n"
                                                     "    if more is None:\n        return None",
                                                take="blocks = hit + more"),
     "The hits are held before it is known whether there is room, and nobody lets go of them after a refusal."),
    ("lets-go-by-free", _REFUSED, _prompt_parts(room="cache.hold(hit)\n    more = cache.allocate(fresh)\n"
                                                     "    if more is None:\n        cache.refs.free(hit)\n"
                                                     "        return None",
                                                take="blocks = hit + more"),
     "After the refusal the hits are freed to the pool and not released, so what was cached is lost."),
    ("holds-and-releases", _REFUSED, _prompt_parts(
        room="cache.hold(hit)\n    more = cache.allocate(fresh)\n    if more is None:\n        cache.release(hit)\n"
             "        return None", take="blocks = [*hit, *more]"),
     "Letting go of the hits puts them at the back of the queue: every refusal makes them look freshly used, and "
     "others are evicted for a prompt that nobody computes."),
    ("evicts-then-asks", _REFUSED, _prompt_parts(
        room="while cache.refs.num_free < fresh and len(cache.queue):\n        cache.evict(1)\n"
             "    if cache.refs.num_free < fresh:\n        return None"),
     "Blocks are evicted before it is known whether that makes room enough, and the prompt is refused all the same."),
    ("holds-and-evicts-then-asks", _REFUSED, _prompt_parts(
        take="", room="cache.hold(hit)\n    while cache.refs.num_free < fresh and len(cache.queue):\n"
                      "        cache.evict(1)\n    more = cache.allocate(fresh)\n    if more is None:\n"
                      "        cache.release(hit)\n        return None\n    blocks = hit + more"),
     "Other prompts' blocks are evicted for a prompt that is then refused."),
    ("only-the-pool", _ONLY, _prompt_parts(room="if fresh > cache.refs.num_free:\n        return None"),
     "Blocks in the queue are there to be evicted; only the empty ones were counted."),
    ("all-hits-count-against", _ONLY, _prompt_parts(
        room="if fresh > cache.num_available - len(hit):\n        return None"),
     "A hit that somebody holds already needs no room, and your count asks for room for it all the same."),
    ("needs-everything-fresh", _ONLY, _prompt_parts(
        room="if blocks_needed(num_tokens, block_size) > cache.num_available:\n        return None"),
     "Room is asked for the whole prompt, the part that is cached and held included."),
    ("one-too-many", _ONLY, _prompt_parts(
        room="if fresh >= cache.num_available - cache.num_unheld(hit):\n        return None"),
     "A prompt that fits exactly is refused."),
    ("no-room-is-an-error", _ONLY, _prompt_parts(
        room="if fresh > cache.num_available - cache.num_unheld(hit):\n        raise ValueError('no room')"),
     "Having no room is an ordinary answer, None, and no exception."),
    ("full-hit", _ONE, _prompt_parts(hit="hit = cache.lookup(hashes, num_tokens // block_size)"),
     "A prompt that is cached to its end is all hits, and nothing is left whose output could give the next token."),
    ("full-hit-by-hashes", _ONE, _prompt_parts(hit="hit = cache.lookup(hashes, len(hashes))"),
     "The limit is the number of hashes, which leaves no token where the prompt fills its blocks exactly."),
    ("one-block-left", _USES, _prompt_parts(hit="hit = cache.lookup(hashes, max(0, num_tokens // block_size - 1))"),
     "One block is always computed again; only one token has to be, and often a part-filled block gives it."),
    ("never-looks-up", _USES, _prompt_parts(hit="hit = []"),
     "Nothing is looked up, so everything is computed again."),
    ("hits-at-the-end", _USES, _prompt_parts(take="cache.hold(hit)\n    blocks = cache.allocate(fresh) + hit"),
     "The hits hold the beginning of the prompt and belong at the beginning of the table."),
    ("forgets-hits-in-need", _ROOM, _prompt_parts(
        need="fresh = blocks_needed(num_tokens, block_size)",
        room="if fresh - len(hit) > cache.num_available - cache.num_unheld(hit):\n        return None\n"
             "    fresh = min(fresh, cache.num_available - cache.num_unheld(hit))"),
     "As many fresh blocks are taken as if nothing had been found."),
    ("full-blocks-only", _ROOM, _prompt_parts(need="fresh = num_tokens // block_size - len(hit)"),
     "The part-filled block at the end needs a place as well."),
    ("never-holds", _HELD, _prompt_parts(take="blocks = hit + cache.allocate(fresh)"),
     "Nobody says that the hits have one holder more, so they can be evicted while they are read."),
    ("holds-all", _COUNTS, _prompt_parts(take="blocks = hit + cache.allocate(fresh)\n    cache.hold(blocks)"),
     "Fresh blocks come held; holding them once more counts a holder that nobody is."),
    ("holds-twice", _COUNTS, _prompt_parts(take="cache.hold(hit)\n    cache.refs.share(hit)\n"
                                                "    blocks = hit + cache.allocate(fresh)"),
     "hold counts the holder already, and the second count is never taken back."),
    ("never-registers", _FINDABLE, _prompt_parts(publish="pass"),
     "The prompt is stored and nobody can find it."),
    ("registers-fresh-with-first-hashes", _FINDS, _prompt_parts(publish="cache.register(hashes, blocks[len(hit):])"),
     "The fresh blocks are registered under the hashes of the first ones: the hits must be left out of both lists."),
    ("registers-hits-only", _FINDABLE, _prompt_parts(publish="cache.register(hashes[:len(hit)], blocks)"),
     "Only what was found is registered, and that was known before."),
    ("cached-in-blocks", _ANSWERS, _prompt_parts(end="return blocks, len(hit)"),
     "The second number is in tokens, and a block holds several."),
    ("only-blocks", _ANSWERS, _prompt_parts(end="return blocks"),
     "A scheduler has to know how many tokens are cached: two values are due."),
    ("computed-tokens", _ANSWERS, _prompt_parts(end="return blocks, num_tokens - len(hit) * block_size"),
     "The second number says what is cached, and not what is left to compute."),
]

MUTANTS = [
    *(Mutant("chain_hashes", name, rule, why, source) for name, rule, source, why in _CHAIN),
    *(Mutant("longest_hit", name, rule, why, _hit(body)) for name, rule, body, why in _HIT),
    *(Mutant("register_release", name, rule, why, source) for name, rule, source, why in _QUEUE),
    *(Mutant("allocate_prompt", name, rule, why, source) for name, rule, source, why in _PROMPT),
]

RIGHT = [
    Right("chain_hashes", "index-loop", _chain("""hashes, pages = [], []
    for i in range(len(tokens) // page_bytes):
        page = bytes(tokens[i * page_bytes:(i + 1) * page_bytes])
        if i == 0:
            page = salt + page
        hashes.append(hash_block((hashes[-1] if hashes else None, page)))
        pages.append(page)
    return (hashes, pages)""")),
    Right("chain_hashes", "accumulate", "from itertools import accumulate\n" + _chain("""n = len(tokens) // page_bytes
    pages = [tokens[k * page_bytes:][:page_bytes] for k in range(n)]
    pages[:1] = [salt + page for page in pages[:1]]
    steps = accumulate([None, *pages], lambda parent, page: hash_block((parent, page)))
    return [*steps][1:], pages""")),
    Right("chain_hashes", "while-and-lists", _chain("""hashes = []
    pages = []
    parent = None
    prefix = salt
    while len(tokens) >= page_bytes:
        page, tokens = prefix + tokens[:page_bytes], tokens[page_bytes:]
        prefix = b''
        parent = hash_block((parent, page))
        hashes += [parent]
        pages += [page]
    return [hashes, pages]""")),
    Right("longest_hit", "while", _hit("""n = 0
    while n < len(hashes) and n < limit and hashes[n] in cached:
        n += 1
    return [cached[key] for key in hashes[:n]]""")),
    Right("longest_hit", "takewhile", "from itertools import takewhile\n" + _hit(
        "return [cached[key] for key in takewhile(cached.__contains__, hashes[:limit])]")),
    Right("longest_hit", "try", _hit("""hit = []
    try:
        for key in hashes[:limit]:
            hit.append(cached[key])
    except KeyError:
        pass
    return hit""")),
    Right("register_release", "by-index", _queue(
        register="""for i in range(len(hashes)):
            if blocks[i] in self.hash_of:
                continue
            self.by_hash.add(hashes[i], blocks[i])
            self.hash_of[blocks[i]] = hashes[i]""",
        release="""unheld = self.refs.drop(blocks[::-1])
        self.refs.recycle([b for b in unheld if b not in self.hash_of])
        for b in unheld:
            if b in self.hash_of:
                self.queue.append(b)""")),
    Right("register_release", "one-by-one", _queue(
        register="""for block, key in list(zip(blocks, hashes)):
            if self.hash_of.get(block) is None:
                self.hash_of[block] = key
                self.by_hash.add(key, block)""",
        release="""for block in reversed(list(blocks)):
            if not self.refs.drop([block]):
                continue
            if self.hash_of.get(block) is not None:
                self.queue.append(block)
            else:
                self.refs.recycle((block,))""")),
    Right("register_release", "asks-for-the-count", _queue(release="""self.refs.drop(blocks)
        for block in list(blocks)[::-1]:
            if self.refs.count(block):
                continue
            (self.queue.append if block in self.hash_of else lambda b: self.refs.recycle([b]))(block)""")),
    Right("allocate_prompt", "computes-room-itself", _prompt("""limit = (num_tokens - 1) // block_size
    hit = cache.lookup(list(hashes), limit)
    total = -(-num_tokens // block_size)
    waiting = len([b for b in hit if cache.refs.count(b) == 0])
    if total - len(hit) > cache.num_available - waiting:
        return None
    cache.hold(hit)
    fresh = cache.allocate(total - len(hit))
    cache.register(hashes[len(hit):], fresh)
    return [hit + fresh, len(hit) * block_size]""")),
    Right("allocate_prompt", "counts-first", _prompt("""def waiting(blocks):
        return sum(b in cache.queue for b in blocks)
    limit = min(len(hashes), (num_tokens - 1) // block_size)
    hit = cache.lookup(hashes, limit)
    missing = blocks_needed(num_tokens - len(hit) * block_size, block_size)
    if cache.refs.num_free + len(cache.queue) - waiting(hit) < missing:
        return None
    if hit:
        cache.hold(hit)
    more = cache.allocate(missing)
    assert more is not None
    table = [*hit, *more]
    cache.register(hashes, table)
    return table, block_size * len(hit)""")),
]
