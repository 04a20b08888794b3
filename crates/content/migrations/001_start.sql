-- What authors keep beside deliveries: blocks, files, and the rules of message formats.

-- A reusable block, used as {% include "name" %}.
CREATE TABLE block (
    id         @ID,
    name       TEXT NOT NULL UNIQUE,   -- what a template includes
    label      TEXT NOT NULL,          -- what the editor's menu shows
    html       TEXT NOT NULL,          -- template source
    text       TEXT NOT NULL,          -- template source for text parts; empty: made from the HTML form
    visible    @INT NOT NULL,          -- 1: in the editor's menu
    created_at @INT NOT NULL,          -- microseconds UTC
    updated_at @INT NOT NULL
) @STRICT;

-- The bytes of a file, once however many deliveries use it: its hash is its name.
CREATE TABLE asset (
    hash         TEXT PRIMARY KEY,     -- blake3, hex
    content_type TEXT NOT NULL,        -- by the first bytes, never by what the uploader said
    size         @INT NOT NULL,        -- bytes
    width        @INT NOT NULL,        -- pixels; 0 for what is no image
    height       @INT NOT NULL,
    bytes        @BLOB NOT NULL,
    created_at   @INT NOT NULL         -- of the last upload: a file without use is kept for a day
) @STRICT;

-- A name under which a delivery, a template or everybody uses a file.
CREATE TABLE asset_use (
    owner_kind TEXT NOT NULL,          -- delivery | template | library | snapshot (what an analysis froze)
    owner      @INT NOT NULL,          -- number of the delivery (also for snapshot) or template; 0 for the library
    name       TEXT NOT NULL,          -- as the content writes it, without assets/ before it
    hash       TEXT NOT NULL REFERENCES asset (hash),
    inline     @INT NOT NULL,          -- 1: this image goes into the message
    expires_at @INT,                   -- resource validity of a confirmed delivery; NULL: as long as the owner exists
    PRIMARY KEY (owner_kind, owner, name)
) @STRICT;

CREATE INDEX asset_use_hash ON asset_use (hash);

-- How messages for some domains are built. The first rule whose mask matches decides.
CREATE TABLE format_rule (
    id             @ID,
    position       @INT NOT NULL,      -- lower is asked first
    mask           TEXT NOT NULL,      -- of the recipient's domain; * is any run of characters
    carrier        TEXT NOT NULL,      -- docomo | softbank | au, or empty
    structure      TEXT NOT NULL,      -- alternative | html | text, or empty: as the recipient prefers
    related        @INT NOT NULL,      -- 1: multipart/related also without an image
    inline_images  @INT NOT NULL,      -- 1: images go into the message
    amp            @INT NOT NULL,      -- 1: the AMP part is sent
    subject_charset TEXT NOT NULL,     -- MIME name, or empty: the delivery's
    html_charset   TEXT NOT NULL,
    html_transfer  TEXT NOT NULL,      -- auto | 7bit | 8bit | quoted-printable | base64
    text_charset   TEXT NOT NULL,
    text_transfer  TEXT NOT NULL
) @STRICT;

-- Carriers' domains. Docomo's row and Vodafone's (now SoftBank) are those of the product that Mailwright follows.
INSERT INTO format_rule (position, mask, carrier, structure, related, inline_images, amp, subject_charset, html_charset,
                         html_transfer, text_charset, text_transfer) VALUES
    (100, 'docomo.ne.jp',       'docomo',   'alternative', 1, 1, 0, 'Shift_JIS',   'Shift_JIS',   '8bit',   'ISO-2022-JP', '7bit'),
    (200, 'ezweb.ne.jp',        'au',       'alternative', 1, 1, 0, 'ISO-2022-JP', 'ISO-2022-JP', '7bit',   'ISO-2022-JP', '7bit'),
    (210, '*.ezweb.ne.jp',      'au',       'alternative', 1, 1, 0, 'ISO-2022-JP', 'ISO-2022-JP', '7bit',   'ISO-2022-JP', '7bit'),
    (220, 'au.com',             'au',       'alternative', 1, 1, 0, 'ISO-2022-JP', 'ISO-2022-JP', '7bit',   'ISO-2022-JP', '7bit'),
    (230, 'ido.ne.jp',          'au',       'alternative', 1, 1, 0, 'ISO-2022-JP', 'ISO-2022-JP', '7bit',   'ISO-2022-JP', '7bit'),
    (240, 'sky.tkk.ne.jp',      'au',       'alternative', 1, 1, 0, 'ISO-2022-JP', 'ISO-2022-JP', '7bit',   'ISO-2022-JP', '7bit'),
    (250, 'sky.tkc.ne.jp',      'au',       'alternative', 1, 1, 0, 'ISO-2022-JP', 'ISO-2022-JP', '7bit',   'ISO-2022-JP', '7bit'),
    (260, 'sky.tu-ka.ne.jp',    'au',       'alternative', 1, 1, 0, 'ISO-2022-JP', 'ISO-2022-JP', '7bit',   'ISO-2022-JP', '7bit'),
    (300, 'softbank.ne.jp',     'softbank', 'alternative', 1, 1, 0, 'UTF-8',       'UTF-8',       'base64', 'UTF-8',       'base64'),
    (310, 'disneymobile.ne.jp', 'softbank', 'alternative', 1, 1, 0, 'UTF-8',       'UTF-8',       'base64', 'UTF-8',       'base64'),
    (320, '?.vodafone.ne.jp',   'softbank', 'alternative', 1, 1, 0, 'UTF-8',       'UTF-8',       'base64', 'UTF-8',       'base64');
