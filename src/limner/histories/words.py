"""The words that sources use: column names and kinds of events, in Chinese and English.

Tables only. `guessing` looks names up here, `cleaning` turns these tables into SQL.
"""

from __future__ import annotations

import re

FIELD_NAMES: dict[str, str] = {
    "user_id": (
        "user_id userid user uid customer_id customerid customer cust_id custid client_id clientid member_id memberid"
        " member buyer_id buyer buyer_nick reviewer_id reviewerid author_id authorid account_id account visitor_id visitorid"
        " household_id household_key shopper_id subscriber_id profile_id user_name username user_nick openid unionid"
        " 用户 用户id 用户编号 用户号 用户名 客户 客户id 客户编号 客户号 会员 会员id 会员编号 会员号 会员卡号 买家 买家id"
        " 买家昵称 买家会员名 顾客 顾客id 顾客编号 账号 帐号 账户 用户昵称 昵称 评论者 作者"
    ),
    "ts": (
        "ts timestamp time datetime date_time event_time eventtime event_date created_at createdat created create_time"
        " createtime creation_date date day order_date orderdate order_time purchase_date purchase_time invoice_date"
        " invoicedate transaction_date transaction_time transaction_timestamp review_date review_time reviewtime"
        " unixreviewtime unix_time action_time click_time visit_time visit_date pay_time paid_at occurred_at sent_at"
        " redemption_date posted_at submitted_at event_timestamp rated_at"
        " 时间 日期 时间戳 发生时间 创建时间 下单时间 订单时间 支付时间 付款时间 成交时间 购买时间 购买日期 订单日期"
        " 评论时间 评价时间 评论日期 评价日期 发布时间 浏览时间 点击时间 行为时间 操作时间 咨询时间 交易时间 交易日期 订单创建时间"
        " 订单付款时间"
    ),
    "kind": (
        "kind type event_type eventtype event event_name eventname action action_type behavior behaviour behavior_type"
        " behaviour_type activity interaction 类型 事件 事件类型 事件名称 行为 行为类型 动作 操作 操作类型"
    ),
    "item_id": (
        "item_id itemid item asin sku sku_id skuid product_id productid prod_id goods_id goodsid stock_code stockcode"
        " movie_id movieid book_id bookid isbn article_id upc barcode ean spu spu_id business_id gmap_id parent_asin listing_id"
        " 商品id 商品编号 商品编码 商品号 货号 产品id 产品编号 款号 商家编码 物品id 电影id"
    ),
    "title": (
        "title item_title item_name itemname product product_name productname product_title product_desc goods_name"
        " goods_title sku_name description item_description movie_title book_title name"
        " 商品 商品名 商品名称 商品标题 产品 产品名 产品名称 宝贝标题 宝贝名称 标题 名称 品名 片名 书名 电影名"
    ),
    "category": (
        "category categories category_name product_category item_category cat cat_name main_category genre genres"
        " department product_type cate category_id cat_id"
        " 类别 分类 品类 类目 商品类别 商品分类 商品类目 一级类目 部门"
    ),
    "text_title": "text_title summary review_title review_summary headline subject review_headline 评论标题 主题 摘要",
    "text": (
        "text review review_text reviewtext review_body reviewbody review_content comment comments comment_text content body"
        " message msg feedback query search_query search_term keyword keywords q utterance question note notes post"
        " 评论 评价 评论内容 评价内容 评语 内容 文本 正文 留言 消息 反馈 意见 搜索词 关键词 搜索内容 咨询内容 对话 聊天内容"
        " 买家留言 短评"
    ),
    "rating": (
        "rating ratings stars star star_rating score overall review_score review_rating rate grade"
        " 评分 星级 打分 分数 得分 评级 评价星级 评价分数"
    ),
    "price": "price unit_price unitprice item_price list_price sale_price selling_price 价格 单价 售价 商品单价 商品价格 标价",
    "quantity": (
        "quantity qty count units num item_count amount_of_items pieces 数量 件数 购买数量 商品数量 宝贝总数量 订购数量"
    ),
    "amount": (
        "amount total total_price totalprice total_amount revenue sales sales_value order_amount order_total order_value"
        " payment paid subtotal line_total value spend 金额 总价 总金额 订单金额 支付金额 实付金额 付款金额 实付 合计 总额"
        " 成交金额 消费金额 买家实际支付金额 交易金额"
    ),
    "currency": "currency currency_code ccy 币种 货币",
    "channel": "channel sales_channel utm_source traffic_source medium 渠道 来源渠道 销售渠道 来源",
    "device": "device device_type platform os user_agent terminal client 设备 终端 设备类型 平台 客户端",
    "place": (
        "place city location country region state province store store_id storeid shop shop_id address area"
        " 城市 地区 地点 国家 省份 省 门店 店铺 门店编号 收货地址 所在地 区域"
    ),
    "session_id": (
        "session_id sessionid session visit_id order_id orderid order_no order_number invoice invoice_no invoiceno"
        " invoice_id basket_id transaction_id conversation_id dialog_id dialogue_id thread_id ticket_id chat_id receipt_id"
        " 会话id 会话 会话编号 订单号 订单id 订单编号 单号 交易号 流水号 对话id 工单号"
    ),
    "role": "role speaker sender sender_role sender_type from_role 角色 发送方 说话人 发送者",
    "lang": "lang language locale 语言 语种",
    "other_id": (
        "other_id friend_id friendid followee_id followee target_id target target_user to_user to_user_id followed_id"
        " user_id_2 user2 dst to_id 好友id 好友 被关注者 关注对象 目标用户"
    ),
    "weight": "weight strength tie_strength affinity 权重 强度 亲密度",
}
"""For each field, the names that sources give it, the commonest first."""

VOLATILE_NAMES = frozenset(
    "helpful helpful_yes helpful_no helpful_total helpful_vote helpful_votes useful useful_count votes vote_count likes"
    " like_count upvotes downvotes views view_count comment_count reply_count exported_at export_time updated_at"
    " modified_at last_modified etl_time load_time 点赞 点赞数 有用 有用数 浏览数 回复数 更新时间 导出时间".split()
)
"""Columns that change while the event stays the same one; they are kept but are no part of what identifies it."""

FILE_KINDS: dict[str, str] = {
    "items": "items item products product catalog catalogue goods skus sku movies books 商品 产品 物品 商品表",
    "users": "users user customers customer members member profiles profile accounts demographics 用户 客户 会员 顾客 用户画像",
    "ties": "ties tie follows follow friends friendships edges relations relationships social network 关系 好友 关注",
    "events": "events event orders order transactions reviews review ratings clicks views logs log chats tickets 订单 评论 评价 日志 行为",
}
"""Words in a file's name that tell what its rows are."""

KIND_WORDS: dict[str, str] = {
    "view": "view views viewed pageview page_view browse browsed impression pv visit visited product_view detail 浏览 查看 访问 曝光",
    "click": "click clicks clicked tap 点击",
    "search": "search searches searched query 搜索 查询 检索",
    "cart": "cart add_to_cart addtocart cart_add add_cart basket addcart 加购 加购物车 加入购物车 购物车",
    "favourite": (
        "favourite favorite fav favourited favorited wishlist wish_list add_to_wishlist bookmark like liked save saved star"
        " 收藏 喜欢 点赞 关注商品 想看 心愿单"
    ),
    "order": (
        "order orders ordered buy bought purchase purchases purchased sale sales transaction transactions payment pay paid"
        " checkout place_order order_placed 下单 购买 支付 付款 订单 成交 消费 买"
    ),
    "return": "return returns returned refund refunded refunds return_order 退货 退款 退换 退单 退换货",
    "review": "review reviews reviewed comment comments feedback testimonial 评论 评价 点评 短评 追评 晒单",
    "rating": "rating ratings rate rated score scored 评分 打分 星级",
    "chat": "chat chats message messages conversation dialog dialogue im 聊天 对话 消息 会话 在线咨询 咨询",
    "support": "support ticket tickets complaint complaints call case inquiry helpdesk service 客服 工单 投诉 售后 来电 报修",
    "post": "post posts posted tweet note blog thread 发帖 帖子 动态 微博 笔记 发布",
    "share": "share shares shared repost retweet forward 分享 转发",
    "coupon": "coupon coupons redeem redeemed redemption voucher coupon_redeemed 优惠券 领券 用券 核销 券",
    "campaign": "campaign campaigns email_sent sent push sms newsletter touch contacted delivered 营销 活动 推送 短信 触达",
    "other": "other others misc unknown 其他 其它",
}
"""For each event kind, the words that sources use for it."""

ROLE_WORDS: dict[str, str] = {
    "user": "user customer client buyer visitor human member guest 用户 客户 买家 顾客 访客 会员",
    "agent": "agent system assistant bot seller support staff operator service merchant robot rep 客服 商家 卖家 系统 机器人 坐席 店小二",
}
"""Who speaks: the customer, or anyone on the other side."""

LANGUAGE_WORDS: dict[str, str] = {
    "zh": "zh zh-cn zh-hans zh-tw zh-hk zh-hant zh_cn zh_tw zh_hk chi zho cn chinese mandarin 中文 汉语 简体中文 繁体中文 普通话",
    "en": "en en-us en-gb en-au en-ca en_us en_gb eng english 英文 英语",
}
"""Names of the two languages."""

CURRENCY_SIGNS: tuple[tuple[str, str], ...] = (
    ("HK$", "HKD"),
    ("NT$", "TWD"),
    ("US$", "USD"),
    ("$", "USD"),
    ("＄", "USD"),
    ("€", "EUR"),
    ("£", "GBP"),
    ("¥", "CNY"),
    ("￥", "CNY"),
    ("元", "CNY"),
    ("₩", "KRW"),
    ("₹", "INR"),
)
"""Signs in amounts and the currency each means, the longer first. The yen sign is read as yuan."""

_separators = re.compile(r"[\s_\-.:/]+")


def plain_name(name: str) -> str:
    """A column name made comparable: lower case, camel case opened, separators as one underscore."""
    opened = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip())
    return _separators.sub("_", opened.lower()).strip("_")


def table(words: dict[str, str]) -> dict[str, str]:
    """Word to meaning, of a table given as meaning to words."""
    return {word: meaning for meaning, listed in words.items() for word in listed.split()}


_known = {name.replace("_", "") for listed in FIELD_NAMES.values() for name in listed.split()}


def is_known_name(cell: str) -> bool:
    """Whether a cell is a name that sources give a column."""
    return plain_name(cell).replace("_", "") in _known
