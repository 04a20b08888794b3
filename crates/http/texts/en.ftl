# All texts of the pages, in English. A key starts with its page. $n chooses the plural, $count is the
# same number with its thousands grouped, $s and $s2 are words that the page puts in.

## Everywhere

actions = Actions
archive = Archive
archived = Archived
cancel = Cancel
copied = Copied
copy = Copy
create = Create
created = Created
date = Date
delete = Delete
duplicate = Duplicate
elapsed = Running for
expected-end = Expected end
learn-more = Learn more
menu = Menu
messages = Messages
more = More
more-actions = More actions
name = Name
nothing-found = Nothing found
nothing-found-text = No entry matches. Change the search or the filter.
of-count = of { $count }
optional = optional
pager-first = First page
pager-newest = Newest
pager-next = Next page
pager-older = Older
progress = Progress
provider = Provider
recipient = Recipient
remove = Remove
rename = Rename
save = Save
search = Search
show-all = Show all
shown-once = It is shown only now. Copy it to a safe place.
skip-to-content = Skip to content
state = State
total = Total
unarchive = Take out of the archive

demo-bar = Demo: a simulated internet. Nothing leaves this machine.
demo-bar-link = See what arrived
nav-label = Main
nav-home = Home
nav-deliveries = Deliveries
nav-recipients = Recipients
nav-lists = Lists
nav-segments = Segments
nav-imports = Imports
nav-quarantine = Quarantine
nav-domains = Domains
nav-settings = Settings
nav-help = Help
nav-mailbox = Demo mailbox
nav-group-audience = Audience
nav-group-system = System
nav-group-demo = Demo
help-chapters = Chapters

done-saved = Saved.
done-created = Created.
done-deleted = Deleted.
done-archived = Archived.
done-unarchived = Taken out of the archive.
done-duplicated = This is the copy. Change what differs, then go through the key steps.
done-proof = The proof is on its way. It is listed with its state.
done-confirmed = Confirmed. Messages go out now.
done-paused = The delivery is being held. Resume it whenever you want.
done-resumed = Resumed.
done-released = The address was released from quarantine. Deliveries include it again.
done-denied = The recipient is on the denylist. Deliveries leave it out, and what was still pending for it is cancelled.
done-undenied = The recipient was taken off the denylist.
done-password = Your password was changed.
done-revoked = The token was revoked.
done-domain = The domain was added. Publish the records below, then check them.
done-stopped-analysis = The analysis was stopped. Nothing was sent.
done-cancelled = The import is being cancelled.
done-setup = Setup is finished.
done-test = The test mail was handed over. Look into the mailbox.

fault-home = Go to Home
fault-not-found = There is nothing here
fault-conflict = That is not possible now
fault-forbidden = That is not allowed
fault-unavailable = The server cannot do that at the moment
fault-internal = Something went wrong on our side
fault-refused = That was not accepted
fault-cross-site = The form came from another site, so it was not accepted. Open the page here and send it again.
fault-number = { $s } must be a whole number.

## Sign in, setup

sign-in = Sign in
sign-out = Sign out
sign-in-name = User name
sign-in-password = Password
sign-in-wrong = Name or password is wrong. Check both, or ask for a new password with: mailwright user reset NAME
sign-in-slow = { $n ->
    [one] Too many failed tries. Wait one second, then try again.
   *[other] Too many failed tries. Wait { $count } seconds, then try again.
 }
sign-in-first = The first start printed the administrator's name and one-time password where the server was started.

setup = Setup
setup-next = Save and continue
setup-finish = Finish
setup-skip = Skip
setup-later = Leave setup; Home shows what is missing
setup-step-password = Password
setup-step-url = Address
setup-step-domain = Domain
setup-step-sending = Way out
setup-step-list = First list
setup-title-password = Choose your password
setup-title-url = Where can recipients reach this server?
setup-title-domain = Which domain do you send from?
setup-title-sending = How does mail leave?
setup-title-list = Name your first list
setup-text-password = Type the one-time password once more, then choose one of your own.
setup-text-url = The unsubscribe link in every message begins with this address.
setup-text-domain = Receivers check in DNS that this server may send for your domain. Publish these records where your domain's DNS is kept, then check them. You can also do that later, on the page Domains.
setup-text-sending = Choose how messages reach the receivers, and send yourself a test mail.
setup-text-list = A list holds the recipients of your newsletter. You will import them next.
setup-domain = Domain of the sender address
setup-domain-hint = The part behind the @, for example shop.example or news.shop.example.
setup-direct = Directly to the receivers
setup-direct-hint = This server finds each receiver's mail server and talks to it. It needs outgoing port 25 and a fixed address.
setup-relay = Through a relay
setup-relay-hint = All mail goes to one server, such as your provider's, usually with a login.
setup-test = Send me a test mail
setup-test-to = Your address
setup-test-address = Type the address that the test mail should go to.
setup-test-sent = The test mail was taken. The server answered: { $s }
setup-test-refused = The test mail was not taken: { $s }
setup-test-slow = The server did not answer in time. Check its name and port, and whether this machine may reach it.
setup-test-hint = The test uses the way that is chosen above, and says here what the server answered.
setup-list = Name of the list
setup-list-hint = For example: newsletter. More lists can follow at any time.
relay-host = Server
relay-port = Port
relay-tls = Encryption
relay-user = Login
relay-password = Password
tls-required = STARTTLS, required
tls-implicit = TLS from the start (port 465)
tls-opportunistic = STARTTLS when offered
tls-none = None
password-now = Password now
password-new = New password
password-one-time = One-time password
password-again = New password again
password-hint = At least 10 characters. A few unrelated words make a good one.
password-change = Change password
password-differs = The two passwords differ. Type the same one twice.

## Home

home-title = Home
home-lead = What runs, what was last, and what is still missing.
home-import = Import recipients
home-running = Under way
home-latest = Latest deliveries
home-all = All deliveries
home-empty = Send your first delivery
home-empty-text = Import your recipients, create a delivery, and let the five key steps lead you.
home-empty-help = Getting started
home-ready = Everything is set up
home-missing = { $n ->
    [one] One thing is missing
   *[other] { $count } things are missing
 }
check-public-url = Public address
check-domain = Sender domain
check-recipients = Recipients
check-why-public-url = Without it the unsubscribe links of your messages lead nowhere.
check-why-domain = Without signing keys and DNS records, receivers treat your mail as suspicious.
check-why-recipients = Import a CSV file, so that there is somebody to write to.

## Deliveries

delivery = Delivery
delivery-new = New delivery
delivery-new-lead = Give it a name. Everything can be changed until you confirm.
delivery-new-list = Send to
delivery-new-list-later = Choose later
delivery-new-subject-hint = What recipients see first.
delivery-label = Label
delivery-label-hint = For you and your colleagues; recipients never see it.
delivery-create = Create delivery
delivery-parent = Proofs of the delivery
delivery-tabs = Parts of the delivery
delivery-delete-title = Delete “{ $s }”?
delivery-delete-text = The delivery, its proofs and its log are deleted. This cannot be undone. To keep it out of the way, archive it instead.
deliveries-lead = Every delivery goes through five key steps: prepare, proof, analyse, confirm, watch.
deliveries-search = Search label or code
deliveries-any-state = Any state
deliveries-archived = Archived
deliveries-empty = No delivery yet
deliveries-empty-text = A delivery is one email to many recipients. Create one; nothing is sent before you confirm it.

state-draft = Draft
state-targeting-pending = Targeting pending
state-analysing = Analysing
state-ready = Ready
state-pending = Pending
state-in-progress = In progress
state-retrying = Retrying
state-pausing = Pausing
state-paused = Paused
state-stopping = Stopping
state-stopped = Stopped
state-failed = Failed
state-finished = Finished
state-cancelled = Cancelled
state-deleted = Deleted
state-date-created = Created
state-date-edited = Edited
state-date-analysed = Analysed
state-date-started = Started
state-date-finished = Ended

key-steps = Key steps
step-done = (done)
step-prepare = Prepare
step-proof = Proof
step-analyse = Analyse
step-confirm = Confirm
step-watch = Watch
step-why-prepare-missing = Missing: { $s }
step-why-prepare-done = Content and target are set
step-why-proof-closed = Needs a subject, a content and a target
step-why-proof-none = See it in your own mailbox first
step-why-proof-outdated = The content changed since the last proof
step-why-proof-done = The last proof shows this content
step-why-proof-skipped = No proof was sent
step-why-analyse-closed = Needs a subject, a content and a target
step-why-analyse-now = Checks everything; sends nothing
step-why-analyse-again = Edited since: analyse again
step-why-analyse-running = Running now
step-why-analyse-errors = Errors found: mend them, analyse again
step-why-analyse-done = No errors
step-why-confirm-closed = Opens after an analysis without errors
step-why-confirm-now = Starts { $count } { $n ->
    [one] message
   *[other] messages
 }
step-why-confirm-done = Confirmed
step-why-watch-closed = Opens when the delivery is confirmed
step-why-watch-now = Messages are going out
step-why-watch-done = Every message is accounted for
missing-subject = subject
missing-sender = sender
missing-content = content
missing-target = target
tab-content = Content
tab-target = Target
tab-parameters = Parameters
tab-proofs = Proofs
tab-analysis = Analysis
tab-log = Log
tab-watch = Watch

pause = Pause
pause-title = Hold this delivery?
pause-text = No further message begins until you resume. What is on the wire now is still finished. Nothing is lost.
resume = Resume
stop = Stop
stop-title = Stop this delivery for good?
stop-text = Messages that were not sent are cancelled and can never be sent by this delivery. This cannot be undone. To interrupt it for a while, use Pause.
stop-no = Keep sending
stop-yes = Stop for good

## Content

content-envelope = Sender and subject
content-from = From
content-from-name = Sender name
content-from-address = Sender address
content-reply-to = Reply to
content-subject = Subject
content-subject-hint = Fields can be used:
content-preheader = Preheader
content-preheader-hint = The short text that many mailboxes show after the subject.
content-body = Content
content-help = How to personalise
content-html = HTML
content-html-hint = Put an unsubscribe link in:
content-text = Text
content-text-hint = Leave it empty, and it is made from the HTML.
content-at = { $s } { $s2 }
content-place = line { $s }, column { $s2 }
content-save-preview = Save and preview
content-save-hint = Ctrl+S saves. Tab indents; Escape, then Tab leaves the field.
content-locked = The delivery is confirmed, so this can no longer be changed. Duplicate it to send again.
part-subject = Subject
part-preheader = Preheader
part-html = HTML
part-text = Text
part-from-name = Sender name
part-from-address = Sender address
part-reply-to = Reply to
part-label = Label
part-code = Code
preview = Preview
preview-as = as
preview-as-placeholder = recipient’s address
preview-show = Show
preview-part = Part
preview-part-html = HTML
preview-part-text = Text
preview-part-source = Source
preview-to = To
preview-size = Size { $s }
preview-frame = Preview of the message
preview-sample = a sample recipient
preview-empty = Write a content and save it; then it is shown here.
preview-unknown = There is no recipient with the address { $s }. Choose one of the list.

## Target

target-who = Who gets it
target-who-text = Everybody in any included list or segment, and in none that is excluded.
target-name = List or segment
target-size = Recipients
target-include = Include
target-exclude = Exclude
target-leave = Neither
target-way = { $s }: { $s2 }
target-kind-list = list
target-kind-segment = segment
target-kind-filter = filter
target-kind-recipient = recipient
target-gone = does not exist any more
target-exclusions = Leave out
target-duplicates = Duplicates
target-duplicates-hint = Each address gets the message once.
target-denylisted = Recipients on the denylist
target-denylisted-hint = They asked not to be contacted. Keep this on: in most countries the law demands it.
target-quarantined = Addresses in quarantine
target-quarantined-hint = A receiver said that they do not exist.
target-limit = Limit
target-limit-hint = At most so many messages, chosen at random. 0: no limit.
target-estimate = Estimate
target-estimate-unit = recipients before exclusions
target-estimate-hint = Without the exclusions and the limit. The analysis counts exactly.
target-estimate-none = Include a list or a segment and save.
target-locked = The delivery is confirmed, so its target is fixed. Duplicate it to send again.
target-nothing = There is nobody to choose yet
target-nothing-text = Import recipients into a list, or build a segment. Then choose it here.

## Parameters

parameters-name = Name
parameters-code = Code
parameters-code-hint = A short name for reports, such as OCT26.
parameters-validity = Validity
parameters-validity-text = How long messages are tried. What is not sent by then is cancelled.
parameters-validity-for = Tried for
parameters-valid-until = Or until
parameters-valid-until-hint = Date and time in UTC. When given, it counts instead of the duration.
parameters-duration-hint = A number with s, m, h or d, such as 30m, 1h or 5d.
parameters-retries = Retries
parameters-retries-text = When a receiver says “not now”, the message is tried again.
parameters-retry-count = Retries in the first day
parameters-retry-period = Time between them
parameters-tries = With these values a message is tried { $s } hours after the start, as long as it is deferred.
parameters-order = Order and bounces
parameters-priority = Priority
parameters-priority-hint = A higher priority goes before other deliveries.
parameters-part-size = Messages per part
parameters-part-size-hint = 0: chosen by the program.
parameters-error-address = Error address
parameters-error-address-hint = Leave empty: every message then has a return path of its own, which identifies bounces exactly.
priority-very-low = Very low
priority-low = Low
priority-normal = Normal
priority-high = High
priority-very-high = Very high

## Proofs

proof = Proof
proof-send = Send a proof
proof-send-text = See the message in a real mailbox before anybody else does.
proof-mode = Kind of proof
proof-substitution = To given addresses
proof-substitution-hint = As one recipient of the target would get it.
proof-recipients = To specific recipients
proof-recipients-hint = People of your audience, each with their own message.
proof-to = Send to
proof-to-hint = One address a line.
proof-demo-hint = In the demo, mail reaches invented mailboxes at simulated providers only; look into the demo mailbox.
proof-as = Personalised as
proof-as-random = random recipient of the target
proof-as-hint = The address of a recipient, or empty for a random one.
proof-people = Recipients
proof-people-hint = One address a line. They must be in your audience.
proof-send-button = Send proof
proof-history = Proofs sent
proof-outdated = Content changed since
proof-none = No proof yet
proof-none-text = Each proof is listed here with its number, its state and its log. Its links act on nobody.
proof-number = Proof #{ $count }
proof-closed-missing = Complete the delivery first. Missing: { $s }
proof-closed-over = The delivery is confirmed. Duplicate it to send proofs again.
proof-closed-analysing = The analysis runs. Wait for it, or stop it.

## Analysis and confirm

analysis = Analysis
analysis-lead = Takes the target, freezes the content, and checks every message. Nothing is sent.
analysis-start = Analyse
analysis-again = Analyse again
analysis-stop = Stop analysis
analysis-running = The analysis runs
analysis-done-at = Analysed
analysis-none = Not analysed yet
analysis-none-text = The analysis counts who gets the message and who is left out and why, fills it in for every recipient, and says when it will arrive.
analysis-journal = Journal
analysis-target = Target
analysis-excluded = Left out
analysis-to-send = To send
analysis-exclusions = Left out, by reason
analysis-exclusions-who = Who
analysis-exclusions-none = Nobody is left out.
analysis-prediction = When it will be delivered
analysis-prediction-all = All by
analysis-prediction-none = No prediction: mail goes through a relay, which decides the pace.
analysis-done-in = Takes about
analysis-closed-missing = Complete the delivery first. Missing: { $s }
analysis-step-start = Starting
analysis-step-target = Taking the target
analysis-step-exclusions = Leaving out who must not get it
analysis-step-domains = Looking up the receivers
analysis-step-personalisation = Filling in every message
analysis-step-rules = Checking the rules
level-info = Information
level-warning = Warning
level-error = Error
verdict-ready = Analysed without a finding that needs you. It may be confirmed.
verdict-warnings = Analysed with warnings. Read them; then it may be confirmed.
verdict-errors = Errors were found. Mend them, then analyse again.
verdict-outdated = The delivery was edited after this analysis.
verdict-nobody = Nobody is left to write to.
verdict-confirmed = Analysed and confirmed.
closed-not-analysed = Confirm is closed: the delivery was not analysed yet.
closed-analysing = Confirm is closed: the analysis still runs.
closed-has-errors = Confirm is closed until the errors are mended and the delivery is analysed again.
closed-edited-since = Confirm is closed until it is analysed again: what is sent is always what was analysed.
closed-already-confirmed = It is confirmed already.
closed-over = It is over. Duplicate it to send again.
closed-nobody = Confirm is closed: no message would be sent. Look at the target and at who is left out.
confirm-open = Confirm …
confirm-title = Send { $n ->
    [one] one message?
   *[other] { $count } messages?
 }
confirm-text = This starts the delivery. Afterwards the content, the target and the parameters cannot be changed.
confirm-warnings = { $n ->
    [one] The analysis gave one warning.
   *[other] The analysis gave { $count } warnings.
 }
confirm-proof-none = No proof was sent.
confirm-proof-outdated = The content changed since the last proof.
confirm-to = Receivers
confirm-left-out = { $n ->
    [0] Nobody is left out.
    [one] One recipient is left out.
   *[other] { $count } recipients are left out.
 }
confirm-valid = Messages are tried until
confirm-button = { $n ->
    [one] Send one message
   *[other] Send { $count } messages
 }

## Watch

watch-done = of the messages are decided
watch-over = Ended
watch-speed = { $s } messages a second
watch-speed-title = Speed
watch-speed-peak = messages a second, highest { $s }
watch-deferred = Deferred
watch-waiting = Waiting
watch-per-second = Per second
watch-providers = By provider
watch-providers-none = Shown as soon as the first messages go out.
provider-google = Gmail
provider-yahoo = Yahoo
provider-outlook = Outlook.com
provider-office365 = Microsoft 365
provider-apple = iCloud
provider-yahoo-jp = Yahoo! JAPAN
provider-docomo = docomo
provider-au = au
provider-softbank = SoftBank
provider-gmx = GMX
provider-tonline = T-Online
provider-orange = Orange
provider-comcast = Comcast
provider-qq = QQ
provider-netease = NetEase
provider-mimecast = Mimecast
provider-proofpoint = Proofpoint
provider-barracuda = Barracuda
provider-kpn = KPN
provider-netvigator = Netvigator
provider-other = Other domains
watch-unknown = { $n ->
    [one] One message was handed over, but the receiver's answer was lost. It is tried again, so it may arrive twice.
   *[other] { $count } messages were handed over, but the receivers' answers were lost. They are tried again, so they may arrive twice.
 }
watch-stop-sent = { $s } messages were sent, { $count } were with a receiver at that moment
watch-stop-report = Stopped: { $s }, and { $s2 } were cancelled.
watch-note-paused = The delivery is held. Nothing is sent until you resume it.
watch-note-retrying = Only messages that receivers put off are left. They are tried again at the times of the tab Parameters.
watch-note-stopped = The delivery was stopped. What was not sent was cancelled.
message-state-pending = Pending
message-state-deferred = Deferred
message-state-sent = Sent
message-state-failed = Failed
message-state-cancelled = Cancelled
message-state-excluded = Left out

## Log

log-search = Search address
log-any-state = Any state
log-attempts = Tries
log-first-try = First try
log-last-try = Last try
log-next-try = Next try
log-reply = What the receiver said
log-view = View
log-waiting = Not sent: this is how it would go out now. Its date is set when its turn comes.
log-differs = These bytes differ from those that were sent, for example because a key or an image is gone. What was sent stands in the recipient's mailbox.
log-back = Back to the log
log-export = Export CSV
log-empty = Nothing here yet
log-empty-text = After the analysis there is a line for every recipient: sent to or left out, with the reason and the receiver's own words.
log-source = Exactly what was sent
log-source-text = Composed again from the frozen content, byte for byte.

reason-invalid-address = Invalid address
reason-denylisted = On the denylist
reason-quarantined = In quarantine
reason-suppressed = Unsubscribed or failed meanwhile
reason-rule = Left out by a rule
reason-pressure = Too many messages lately
reason-capacity = Over capacity
reason-duplicate = Duplicate address
reason-limit = Over the limit
reason-control = Control group
reason-not-defined = Refused without a known reason
reason-user-unknown = Address does not exist
reason-invalid-domain = Domain takes no mail
reason-unreachable = Receiver not reached
reason-account-disabled = Account disabled
reason-mailbox-full = Mailbox full
reason-refused = Refused by the receiver
reason-complaint = Complaint
reason-manual = Put there by hand
reason-unsubscribed = Unsubscribed
reason-complained = Complained
reason-validity = Validity ended
reason-stopped = Delivery stopped

## Audience

recipients-lead = Everybody you can write to.
recipients-search = Search address or name
recipients-any-list = All lists
recipients-denylisted = On the denylist
recipients-empty = No recipients yet
recipients-empty-text = Import a CSV file with the people you want to write to. Every further column becomes an attribute.
recipients-nothing-found = No recipient matches. Search by the start of an address or a name.
recipients-total = { $n ->
    [one] One recipient
   *[other] { $count } recipients
 }
recipient-new = New recipient
recipient-name = Name
recipient-place = Place
recipient-status = Status
recipient-updated = Updated
recipient-open = May be contacted
recipient-denylisted = On the denylist
recipient-quarantined = In quarantine
recipient-quarantine-see = See why
recipient-since = Since
recipient-deny = Put on the denylist
recipient-undeny = Take off the denylist
recipient-fields = Fields
recipient-attributes = Attributes
recipient-attributes-text = Anything else you know, for personalisation and segments.
recipient-attributes-hint = Empty a value to remove the attribute. New empty lines appear after saving.
recipient-delete-title = Delete this recipient?
recipient-delete-text = The recipient and its place in all lists are deleted. This cannot be undone. An address in quarantine stays there. To stop contacting somebody, use the denylist.
attribute-name = Name
attribute-value = Value
field-email = Email address
field-first-name = First name
field-last-name = Last name
field-language = Language
field-time-zone = Time zone
field-country = Country
field-city = City
field-email-format = Email format
field-domain = Domain of the address
field-denylisted = On the denylist (true or false)
field-created-at = Created
field-updated-at = Updated
format-any = As the delivery says
format-text = Text only
format-html = HTML
format-docomo = docomo
format-softbank = SoftBank
format-au = au

list = List
list-new = New list
list-members = Recipients
list-rename = Rename “{ $s }”
list-delete-title = Delete the list “{ $s }”?
list-delete-text = { $n ->
    [one] Its one recipient stays, but is no longer in this list.
   *[other] Its { $count } recipients stay, but are no longer in this list.
 } Drafts that use the list must be changed. This cannot be undone.
lists-lead = Sets of recipients that you put together, usually by an import.
lists-empty = No list yet
lists-empty-text = An import puts its recipients into a list, and creates it when it is new.

segment = Segment
segment-new = New segment
segment-lead = A rule, computed anew for every analysis.
segment-filter = Rule
segment-conditions = Conditions
segment-view = View
segment-view-form = Form
segment-view-json = JSON
segment-json-hint = The same rule as text. Errors are said with their place in it.
segment-group = How the conditions are joined
segment-join-and = All of these
segment-join-or = At least one of these
segment-not = Whether the group is inverted
segment-is = hold
segment-is-not = do not hold
segment-add = Add condition
segment-add-group = Add group
segment-remove = Remove this condition
segment-remove-group = Remove group
segment-field = Field
segment-fields = Fields
segment-in-list = List membership
segment-op = Comparison
segment-value = Value
segment-value-hint = Value
segment-hint = Several values for “is one of”: separate them with commas. Dates: 2026-01-31, or now-30d. Spans: 90d, 12h.
segment-count = Count
segment-counted = { $n ->
    [one] One recipient matches.
   *[other] { $count } recipients match.
 }
segment-delete-title = Delete the segment “{ $s }”?
segment-delete-text = No recipient is deleted. Drafts that use the segment must be changed. This cannot be undone.
segments-lead = Rules such as “in Germany, with more than 1000 points”. Always up to date.
segments-empty = No segment yet
segments-empty-text = Build a rule over fields and attributes, see at once how many recipients it matches, and use it as the target of deliveries.
op-eq = is
op-ne = is not
op-lt = is less than
op-le = is at most
op-gt = is more than
op-ge = is at least
op-contains = contains
op-starts-with = starts with
op-ends-with = ends with
op-in = is one of
op-is-empty = is empty
op-is-set = is not empty
op-before = is before
op-after = is after
op-within-last = was within the last
op-not-within-last = was not within the last
op-within-next = is within the next

imports-lead = Every row of every file is accounted for.
imports-empty = No import yet
imports-empty-text = Take a CSV file from any other system. You see the columns before anything is changed, and can try it in a dry run.
import-new-lead = A CSV file of any size, with the names of the columns in its first line.
import-file = File
import-file-hint = CSV in UTF-8, Shift_JIS or Latin-1; comma, semicolon or tab.
import-upload = Upload and look
import-upload-hint = Nothing is changed yet.
import-map = Match the columns
import-map-lead = Say what each column is. Samples show whether the encoding is right.
import-list = Into the list
import-list-hint = A new name creates the list.
import-encoding = Encoding
import-encoding-hint = Change it when letters in the samples look wrong, then read the file again.
encoding-utf-8 = UTF-8
encoding-shift-jis = Shift_JIS
encoding-latin-1 = Latin-1
import-columns = Columns
import-columns-text = One column must be the email address.
import-column = Column
import-becomes = Becomes
import-becomes-of = What { $s } becomes
import-sample = Samples
import-attribute = Attribute of this name
import-skip = Leave out
import-start = Import
import-dry-run = Dry run
import-dry-hint = A dry run counts and lists rejected rows, and changes nobody.
import-dry = dry run
import-reread = Read again with this encoding
import-for-real = Import for real
import-into = into
import-cancel = Cancel import
import-rows = Rows
import-created = Created
import-updated = Updated
import-unchanged = Unchanged
import-rejected = Rejected
import-rejects = Rejected rows
import-rejected-rows = Rejected rows
import-rejected-text = The first of them. The download has all.
import-line = Line
import-why = Why
import-raw = Row
import-no-file = Choose a file first.
import-no-email = One column must be the email address. Choose it below.
import-no-list = Say which list the recipients go into.
import-gone = The uploaded file is not there any more. Upload it again.
import-state-running = Running
import-state-finished = Finished
import-state-cancelled = Cancelled
import-state-failed = Failed
import-state-interrupted = Interrupted
import-phase-waiting = Waiting for another import to end
import-phase-writing = Merging into the audience
import-phase-reading = Reading and sorting the file
import-phase-done = Finishing

quarantine-lead = Addresses that a receiver called non-existent. Deliveries leave them out.
quarantine-search = Search address
quarantine-reason = Reason
quarantine-reply = What the receiver said
quarantine-since = Since
quarantine-release = Release
quarantine-empty = No address is in quarantine
quarantine-empty-text = When a receiver says that an address does not exist, it appears here with the receiver's words.

## Domains

domain = Domain
domain-add = Add domain
domain-check = Check
domain-selector = Key
domain-lead = Publish these records where the domain's DNS is kept. Then check them.
domain-delete-title = Delete the domain { $s }?
domain-delete-text = Its signing keys are deleted. Mail from this domain is no longer signed. This cannot be undone: adding it again makes new keys, and new records.
domains-lead = Domains you send from, with their signing keys and DNS records.
domains-empty = No sender domain yet
domains-empty-text = Add the part behind the @ of your sender address. You get the DNS records to publish.
domain-nameless = This server has no public name yet, so the records below cannot be right. Set the public address or the name of this server first:
domain-slow = DNS did not answer in time. Try again in a minute.
domain-verdict-complete = All records are published and right.
domain-verdict-ready = The records that matter are published. Look at the rest below.
domain-verdict-open = Some records are missing or different. What to do stands beside each.
record-dkim-rsa = DKIM, RSA key
record-dkim-ed25519 = DKIM, Ed25519 key
record-spf = SPF
record-bounce-mx = MX of the bounce domain
record-bounce-spf = SPF of the bounce domain
record-dmarc = DMARC
record-why-dkim-rsa = Receivers check with it that a message is really yours and unchanged.
record-why-dkim-ed25519 = A shorter, modern key beside the first one. Good to have.
record-why-spf = Says which servers may send for the domain. There must be only one SPF record: extend it if you have one.
record-why-bounce-mx = Brings reports about undeliverable mail back to this server.
record-why-bounce-spf = Receivers check SPF with the domain of the return path, which is this one.
record-why-dmarc = Says what to do with mail that only pretends to be yours. Large providers demand it.
record-type = Type
record-value = Value
record-found = Found
record-state-present = Published
record-state-missing = Missing
record-state-different = Different
record-state-unknown = DNS did not answer

## Settings

settings-lead = Each value, and where it comes from.
settings-values = Values
settings-users = Users
settings-tokens = API tokens
settings-pinned = Change it there.
settings-from-default = Default
settings-from-stored = Set here
settings-from-file = Configuration file
settings-from-environment = Environment
settings-group-public = Public address
settings-group-sender = Sender
settings-group-sending = Sending
settings-group-deliveries = New deliveries
settings-group-bounces = Bounces
settings-group-other = Other
settings-refused = Some values were not accepted; the others are saved. What to do stands beside each.
settings-clear = Remove this value
settings-at-start = Set in the configuration file or the environment; read at the start.
setting-listen = Address of these pages
setting-public-listen = Address of the recipients' pages
setting-database = Database
setting-mta-relay = Relay
setting-mta-nameservers = DNS servers
setting-mta-port = Port of receivers
setting-mta-ehlo = Name of this server
setting-mta-retry-period = Time between the first tries
setting-mta-retry-first-day = Tries in the first day
setting-mta-connections-per-site = Connections per receiving site
setting-mta-messages-per-connection = Messages per connection
setting-net-allow = Private networks that may be reached
setting-feedback-domain = Bounce domain
setting-content-from-name = Sender name
setting-content-from-address = Sender address
setting-content-from-masks = Allowed sender addresses
setting-content-reply-to = Reply address
setting-content-reply-masks = Allowed reply addresses
setting-content-error-address = Error address
setting-content-error-masks = Allowed error addresses
setting-delivery-validity = Validity
setting-delivery-resource-validity = Validity of pages and images
setting-public-url = Public address
setting-hint-public-url = Where recipients reach this server, for example https://mail.shop.example. Unsubscribe links begin with it.
user = User
user-you = you
user-add = Add user
user-last = Last sign-in
user-never = never
user-one-time = one-time password
user-reset = Reset password
user-reset-title = Reset the password of { $s }?
user-reset-text = The user is signed out everywhere and gets a new one-time password, shown once on the next page.
user-password-of = One-time password of { $s }
users-lead = People who may sign in.
token-add = Make token
token-last = Last used
token-made = The new token
token-name-hint = What is it for?
token-revoke = Revoke
token-revoke-title = Revoke the token “{ $s }”?
token-revoke-text = Programs that use it are refused from now on. This cannot be undone.
tokens-lead = A token lets a program act for you over the API or the command line.
tokens-empty = No token yet
tokens-empty-text = On this machine the commands need none. Make one for programs elsewhere.

## Demo

mailbox-lead = { $n ->
    [0] What the simulated receivers accept appears here.
    [one] One message arrived at the simulated receivers.
   *[other] { $count } messages arrived at the simulated receivers.
 }
mailbox-search = Search recipient or subject
mailbox-empty = Nothing arrived yet
mailbox-empty-text = Send a proof or confirm the delivery; messages appear here as the receivers accept them.
mailbox-choose = Choose a message.
